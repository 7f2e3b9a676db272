"""`training.compile`: the run is the run without, but for rounding, and what is kept knows nothing of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from test_run_together import document

import motet
from motet.core.errors import SpecError

# torch's own, where it compiles what comes behind a part that it can not compile, here a recurrent layer
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")


@pytest.fixture(autouse=True)
def _a_quick_backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The default one takes most of a minute before the first step."""
    import torch._dynamo
    import torch._functorch.config

    monkeypatch.setattr("motet.training.compiled.BACKEND", "aot_eager")
    before = torch._functorch.config.donated_buffer, torch._dynamo.config.recompile_limit
    yield
    torch._functorch.config.donated_buffer, torch._dynamo.config.recompile_limit = before


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "bundle" / "weights.safetensors")


def test_a_compiled_run_is_the_run_without(tmp_path: Path) -> None:
    import torch._dynamo

    eager = motet.fit(document(epochs=1), out=tmp_path / "eager")
    torch._dynamo.utils.counters.clear()
    compiled = motet.fit(document(epochs=1, compile=True), out=tmp_path / "compiled")
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
    found, wanted = weights(compiled.folder), weights(eager.folder)
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        assert (found[name].double() - tensor.double()).abs().max() <= 1e-5 * max(1.0, float(tensor.abs().max())), name
    resolved = [(run.folder / "experiment.yaml").read_text() for run in (eager, compiled)]
    assert ["compile: true" in text for text in resolved] == [False, True]


def test_compile_and_shard_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="leave out compile or shard"):
        motet.fit(document(compile=True, shard=True), out=tmp_path / "run")
