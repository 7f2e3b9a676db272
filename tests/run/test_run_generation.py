"""Text written from text, from the table to the answers: words are turned around, and what was learned is all there."""

import csv
import itertools
import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

import motet
from motet.api import Run
from motet.core.errors import SpecError
from motet.data import read_table
from motet.model.export import export
from motet.training import Interrupted, Quiet

WORDS = ["red", "blue", "green", "one", "two", "six"]
SAID = [" ".join(words) for count in (1, 2, 3) for words in itertools.product(WORDS, repeat=count)]
ROWS = [{"said": text, "back": " ".join(reversed(text.split()))} for text in SAID]


def experiment(**training: Any) -> dict[str, Any]:
    small = {"vocabulary": 270, "width": 32, "dropout": 0.0}
    rest = {"batch_size": 16, "learning_rate": 0.005, "schedule": "cosine", "average": 0.0, "patience": None}
    return {
        "data": {"train": ROWS, "valid": 0.1, "test": 0.1},
        "inputs": {"said": {"kind": "text", **small, "word_dropout": 0.0}},
        "tasks": {"back": {"kind": "generation", **small, "layers": 1, "heads": 2}},
        "training": {"epochs": 30, "device": "cpu", "optimizer": "adamw", **rest, **training},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return motet.fit(experiment(), out=tmp_path_factory.mktemp("generation") / "run")


def test_what_can_be_learned_is_learned_to_perfection(run: Run) -> None:
    assert run.report.content["rows_scored"] == "test"
    assert [run.report["back"][name].value for name in ("chrf", "rouge_l")] == [100.0, 100.0]
    assert run.report.content["tasks"]["back"]["baseline"]["chrf"] < 50
    contribution = run.report.content["inputs"]["said"]["contribution"]["back"]
    assert contribution["value"] == pytest.approx(100.0)


def test_a_model_that_is_loaded_answers_the_same(run: Run) -> None:
    asked = [{"said": "red two six"}, {"said": None}, {"said": "one"}]
    assert motet.load(run.folder).predict(asked) == run.model.predict(asked)
    assert [row["back"] for row in run.model.predict(asked)] == ["six two red", None, "one"]


def test_it_is_evaluated_on_another_table(run: Run) -> None:
    rows = [{"said": "six one", "back": "one six"}, {"said": "two", "back": "six"}, {"said": "red"}]
    report = motet.evaluate(run.folder, rows)
    assert report.content["tasks"]["back"]["rows"] == 2
    assert report["back"]["rouge_l"].value == pytest.approx(50.0)


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_answers_are_written_as_text(run: Run, tmp_path: Path, suffix: str) -> None:
    table = tmp_path / "ask.csv"
    table.write_text("said\nred blue\n\ngreen\n")
    out = tmp_path / f"out.{suffix}"
    motet.predict(run.folder, table, output=out)
    if suffix == "csv":
        with out.open(newline="") as file:
            assert [row["back"] for row in csv.DictReader(file)] == ["blue red", "", "green"]
    else:
        assert [json.loads(line)["back"] for line in out.read_text().splitlines()] == ["blue red", None, "green"]


def test_a_task_that_writes_is_not_exported(run: Run) -> None:
    network = run.model.network
    batch = next(iter(run.model._batches(read_table(ROWS[:3]), {}, None)))
    with pytest.raises(SpecError, match="can not be exported"):
        export(network, batch.inputs)


class StopAt(Quiet):
    """Presses Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Any) -> None:
        if step == self.at:
            signal.raise_signal(signal.SIGINT)


def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(tmp_path: Path) -> None:
    document = experiment(epochs=2)
    document["tasks"]["back"] |= {"dropout": 0.3, "search": {"kind": "sample", "top_p": 0.9}}
    whole = motet.fit(document, out=tmp_path / "whole")
    with pytest.raises(Interrupted):
        motet.fit(document, out=tmp_path / "stopped", progress=StopAt(17))
    resumed = motet.fit(document, out=tmp_path / "stopped", resume=True)
    for name, weight in whole.model.network.state_dict().items():
        assert torch.equal(resumed.model.network.state_dict()[name], weight), name
    assert resumed.model.predict(ROWS[:9]) == whole.model.predict(ROWS[:9])
    assert resumed.report["back"]["chrf"].value == whole.report["back"]["chrf"].value


def test_few_labels_among_many_rows_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motet.run.judge.MOST_LABELS_OF_PARTS", 2)
    rows = [row | ({} if 100 <= number < 104 else {"back": None}) for number, row in enumerate(ROWS)]
    document = experiment(epochs=1) | {"data": {"train": rows, "valid": ROWS[:3]}}
    run = motet.fit(document, out=tmp_path / "run")
    assert len(run.model.facts["priors"]["back"]) > 1


def test_several_processes_learn_what_one_does(tmp_path: Path) -> None:
    one = motet.fit(experiment(epochs=1, optimizer="sgd"), out=tmp_path / "one")
    two = motet.fit(experiment(epochs=1, optimizer="sgd", devices=2), out=tmp_path / "two")
    for name, weight in one.model.network.state_dict().items():
        torch.testing.assert_close(two.model.network.state_dict()[name], weight, atol=1e-5, rtol=1e-4)
