"""A pretrained model that was frozen is tuned by small matrices beside its weights, and the other way round."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.run.test_run_init_from import built, document, rows, starting

import motet
from motet.core.errors import SpecError

pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")
pytest.importorskip("peft", reason="the extra `pretrained` is not installed")

TUNES = ("frozen", "full", "lora")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and by how it was tuned a run; the model is gone."""
    from tests.inputs.pretrained_models import save_text_model

    folder = tmp_path_factory.mktemp("lora")
    save_text_model("bert", folder / "bert")
    for tune in TUNES:
        given = document(rows("red blue green tree"), inputs=note(folder, tune=tune))
        motet.fit(given | {"training": {"epochs": 2, "batch_size": 8, "learning_rate": 0.05}}, out=folder / tune)
    (folder / "bert").rename(folder / "gone")
    return folder


def note(folder: Path, **fields: Any) -> dict[str, Any]:
    encoder = {"kind": "pretrained", "model": str(folder / "bert"), **fields}
    return {"note": {"kind": "text", "width": 6, "encoder": encoder}}


def said(one: Any, preparation: Any) -> torch.Tensor:
    with torch.no_grad():
        values = preparation.batch([preparation.read(cell) for cell in ("red tree", "blue")])
        tokens = one.encoders["note"].encoder.eval()(values)
    return tokens.values[tokens.mask]


@pytest.mark.parametrize("there", TUNES)
@pytest.mark.parametrize("here", TUNES)
def test_however_it_is_tuned_it_starts_by_saying_what_the_source_says(folder: Path, there: str, here: str) -> None:
    prepared, network = built(starting(str(folder / there), inputs=note(folder, tune=here)))
    former = motet.load(folder / there)
    preparation = prepared.fitted.inputs["note"][1]
    assert prepared.fitted.inputs["note"][0].encoder.tune == here
    torch.testing.assert_close(said(network, preparation), said(former.network, preparation), rtol=1e-4, atol=1e-5)
    own, theirs = (one.encoders["note"].encoder.state_dict() for one in (network, former.network))
    assert any("lora_" in name for name in own) is (here == "lora")
    if "lora" not in (here, there) or here == there:
        assert own.keys() == theirs.keys()
        assert all(torch.equal(own[name], theirs[name]) for name in own)


def test_base_weights_are_taken_bit_for_bit_and_of_lora_its_product_is_added(folder: Path) -> None:
    lora = motet.load(folder / "lora").network.encoders["note"].encoder.state_dict()
    _, network = built(starting(str(folder / "lora"), inputs=note(folder, tune="frozen")))
    changed = 0
    for name, weight in network.encoders["note"].encoder.state_dict().items():
        layer, _, last = name.rpartition(".")
        if f"{layer}.lora_A.default.weight" not in lora:
            assert torch.equal(weight, lora[name])
        elif last == "weight":
            a, b = (lora[f"{layer}.lora_{one}.default.weight"] for one in "AB")
            torch.testing.assert_close(weight, lora[f"{layer}.base_layer.weight"] + 2 * b @ a)
            changed += bool((b != 0).any())
    assert changed


def test_the_rank_is_each_runs_own_where_the_source_has_none(folder: Path) -> None:
    _, network = built(starting(str(folder / "frozen"), inputs=note(folder, tune="lora", rank=3)))
    small = {name: one for name, one in network.encoders["note"].encoder.state_dict().items() if "lora_A" in name}
    assert {one.shape[0] for one in small.values()} == {3}
    with pytest.raises(SpecError, match=r"inputs\.note\.encoder\.rank: found 3, but expected 8"):
        built(starting(str(folder / "lora"), inputs=note(folder, tune="lora", rank=3)))
