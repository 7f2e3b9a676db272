"""Kept states of frozen encoders: whatever changes in a cell, its preparation or the weights, they are made anew."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="the extra `pretrained` is not installed")

from tests.inputs.pretrained_models import WORDS, save_text_model

import motet
from motet.data import KeptArrays, name_of
from motet.inputs import Text
from motet.inputs.pretrained import Pretrained, PretrainedEncoder
from motet.inputs.text.pretrained import PretrainedTextPreparation
from motet.run.frozen import _maker

CELL = "red house and green tree"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[PretrainedTextPreparation, PretrainedEncoder]:
    monkeypatch.setenv("MOTET_CACHE", str(tmp_path / "cache"))
    save_text_model("bert", tmp_path / "model")
    spec = Text(encoder=Pretrained(model=str(tmp_path / "model")))
    preparation = spec.fit([CELL])
    encoder = spec.build(preparation)
    assert isinstance(preparation, PretrainedTextPreparation)
    assert isinstance(encoder, PretrainedEncoder)
    spec.start(encoder)
    states = encoder.known(preparation.batch([preparation.read(CELL)]), words=False)
    KeptArrays(_maker(encoder, preparation)).keep({name_of(preparation.read(CELL)): states})
    return preparation, encoder


def is_kept(preparation: PretrainedTextPreparation, encoder: PretrainedEncoder, cell: str = CELL) -> bool:
    name = name_of(preparation.read(cell))
    return name in KeptArrays(_maker(encoder, preparation)).find([name])


def test_nothing_changed_is_found(made: tuple[PretrainedTextPreparation, PretrainedEncoder]) -> None:
    assert is_kept(*made)


def test_40_of_40_other_cells_are_not(made: tuple[PretrainedTextPreparation, PretrainedEncoder]) -> None:
    chance, others = np.random.default_rng(0), set[str]()
    while len(others) < 40:
        words = CELL.split()
        words[chance.integers(len(words))] = str(chance.choice(WORDS))
        words = words[: chance.integers(1, len(words) + 1)] if chance.random() < 0.3 else words
        others |= {" ".join(words)} - {CELL}
    assert [is_kept(*made, cell) for cell in sorted(others)] == [False] * 40


def test_20_of_20_other_preparations_are_not(made: tuple[PretrainedTextPreparation, PretrainedEncoder]) -> None:
    preparation, encoder = made
    document = preparation.model_dump(mode="json")
    changed = [document | {"max_tokens": preparation.max_tokens + one} for one in range(1, 11)]
    fields = [name for name, value in document["config"].items() if isinstance(value, int | float)][:9]
    changed += [document | {"config": document["config"] | {name: 7}} for name in fields]
    changed += [document | {"words": not preparation.words}]
    assert len(changed) == 20
    for one in changed:
        other = PretrainedTextPreparation.model_validate(one)
        kept = KeptArrays(_maker(encoder, other)).find([name_of(preparation.read(CELL))])
        assert not kept, one


def test_40_of_40_other_weights_are_not(made: tuple[PretrainedTextPreparation, PretrainedEncoder]) -> None:
    preparation, encoder = made
    chance = np.random.default_rng(0)
    parameters = list(encoder.backbone.parameters())
    for _ in range(40):
        flat = parameters[chance.integers(len(parameters))].data.view(-1)
        place = int(chance.integers(len(flat)))
        former = flat[place].clone()
        flat.view(torch.int32)[place] ^= 1 << int(chance.integers(32))
        assert not is_kept(preparation, encoder)
        flat[place] = former
    assert is_kept(preparation, encoder)
    encoder.output = "mean"
    assert not is_kept(preparation, encoder)


def test_states_that_would_be_too_many_are_not_made(
    made: tuple[PretrainedTextPreparation, PretrainedEncoder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handful of cells tells; then each batch is encoded anew, and ends with the same weights."""
    rows = [{"note": f"{WORDS[row % 5]} tree {WORDS[row % 3]} {row}", "y": row % 5} for row in range(60)]
    text = {"kind": "text", "encoder": {"kind": "pretrained", "model": str(tmp_path / "model")}}
    asked = {
        "data": {"train": rows, "valid": 0.2},
        "inputs": {"note": text},
        "tasks": {"y": "regression"},
        "training": {"epochs": 2, "batch_size": 16},
    }
    kept = motet.fit(asked, out=tmp_path / "kept").folder
    read = []
    plain = PretrainedEncoder.known
    monkeypatch.setattr("motet.run.frozen.MOST_BYTES", 100)
    monkeypatch.setattr(PretrainedEncoder, "known", lambda *given, **more: read.append(1) or plain(*given, **more))
    anew = motet.fit(asked, out=tmp_path / "anew").folder
    assert 0 < len(read) <= 16
    weights = [(one / "bundle" / "weights.safetensors").read_bytes() for one in (kept, anew)]
    assert weights[0] == weights[1]
