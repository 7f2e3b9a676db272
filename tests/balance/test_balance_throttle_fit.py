"""Whole runs with each throttle: what the log shows, a bundle that answers, and a stop in the middle of an epoch."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import motet
from motet.core.errors import SpecError
from motet.training import Interrupted, Quiet

KINDS: list[dict[str, Any]] = [
    {"kind": "ogm", "alpha": 1.0},
    {"kind": "agm"},
    {"kind": "pmr"},
    {"kind": "blend", "every": 1},
    {"kind": "blend", "weights": "equal"},
    {"kind": "mmpareto"},
    {"kind": "resample", "warmup": 1, "scarce": 1.0},
]
every_kind = pytest.mark.parametrize("spec", KINDS, ids=[f"{n} {spec['kind']}" for n, spec in enumerate(KINDS)])


def rows(count: int) -> list[dict[str, object]]:
    """`a` says nearly all, `b` a little, and every fourth row lacks it."""
    found = []
    for i in range(count):
        a, b = (i * 7) % 11 - 5, (i * 5) % 13 - 6
        found.append({"a": a, "b": "" if i % 4 == 3 else b, "y": "yes" if a + 0.3 * b > 0 else "no", "z": a + 0.2 * b})
    return found


def experiment(spec: Mapping[str, Any], **training: object) -> dict[str, Any]:
    return {
        "data": {"train": rows(72), "valid": rows(24), "test": rows(24)},
        "inputs": {"a": {"kind": "number", "width": 4}, "b": {"kind": "number", "width": 4}},
        "tasks": {"y": "binary", "z": "regression"},
        "fusion": {"kind": "concat", "width": 8},
        "sharing": {"kind": "hard", "width": 8},
        "balance": {"modalities": spec},
        "training": {"epochs": 4, "batch_size": 16, "patience": None, "device": "cpu", **training},
    }


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@every_kind
def test_a_run_shows_singles_and_factors_and_its_model_answers(spec: dict[str, Any], tmp_path: Path) -> None:
    run = motet.fit(experiment(spec), out=tmp_path / "run")
    log = lines(run.folder)
    validations = [line for line in log if "valid" in line]
    assert len(validations) == 4
    for line in validations:
        assert {name: sorted(own) for name, own in line["singles"].items()} == {"a": ["y", "z"], "b": ["y", "z"]}
        assert all(isinstance(score, float) for own in line["singles"].values() for score in own.values())
    steps = [line for line in log if "losses" in line]
    for line in steps:
        assert {"a", "b"} <= set(line["factors"])
        assert {"y/a alone", "y/b alone", "z/a alone", "z/b alone"} <= set(line["terms"])
    if spec.get("weights") != "equal":
        assert any(factor != 1 for line in steps for factor in line["factors"].values())
    assert [row["y"] in ("yes", "no") for row in run.model.predict([{"a": 5}, {"b": 1}, {}])] == [True] * 3


@every_kind
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_stopped_inside_an_epoch_goes_on_bit_for_bit(
    spec: dict[str, Any], accumulate: int, tmp_path: Path
) -> None:
    document = experiment(spec, accumulate=accumulate)
    whole = motet.fit(document, out=tmp_path / "whole")
    for stop in (4, 8):
        with pytest.raises(Interrupted):
            motet.fit(document, out=tmp_path / "stopped", resume=stop > 4, progress=Stop(stop))
    run = motet.fit(document, out=tmp_path / "stopped", resume=True)
    assert [line for line in lines(run.folder) if "resumed_at" not in line] == lines(whole.folder)
    weights = "bundle/weights.safetensors"
    assert (run.folder / weights).read_bytes() == (whole.folder / weights).read_bytes()


class Stop(Quiet):
    """Presses Ctrl-C in this step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        if step == self._step:
            signal.raise_signal(signal.SIGINT)


def test_scarce_rows_are_trained_on_more_often(tmp_path: Path) -> None:
    """`b` is in 3 of 4 rows; weighed by 4/3 against 1 it is in 4 of 5 of those drawn."""
    with counting() as seen:
        motet.fit(experiment({"kind": "resample", "scarce": 1.0}, epochs=40), out=tmp_path / "run")
    share = sum(seen) / len(seen)
    assert share == pytest.approx(0.8, abs=0.02)


@contextmanager
def counting() -> Iterator[list[bool]]:
    """Whether each row that is read for training has `b`."""
    from motet.data import Dataset

    found: list[bool] = []
    whole = Dataset.batch

    def batch(self: Dataset, chosen: Any, *, epoch: int | None) -> Any:
        made = whole(self, chosen, epoch=epoch)
        if epoch is not None:
            found.extend(made.inputs["b"].present.tolist())
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dataset, "batch", batch)
        yield found


def test_pmr_without_classes_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    document = experiment({"kind": "pmr"}) | {"tasks": {"z": "regression"}}
    with pytest.raises(SpecError, match="no task has classes"):
        motet.fit(document, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_input_alone_trains_with_every_kind(tmp_path: Path) -> None:
    for number, spec in enumerate(KINDS):
        document = experiment(spec, epochs=1) | {"inputs": {"a": "number"}}
        run = motet.fit(document, out=tmp_path / str(number))
        factors = [line["factors"]["a"] for line in lines(run.folder) if "factors" in line]
        assert set(factors) == {1.0}, spec
