"""Matching and saying again, from the table to the answers: learned, loaded, resumed, evaluated, searched."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import motet
from motet.api import Run
from motet.core.errors import SpecError
from motet.core.flow import Cells
from motet.training import Interrupted, Quiet

NAMES = ["red", "green", "blue", "white", "black", "grey"]
LIGHTS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0], [0.5, 0.5, 0.5]])


def rows(count: int = 180) -> list[dict[str, Any]]:
    """A light, what it is called (in every fifth row unknown), and twice its red part, in every seventh unknown."""
    chance = np.random.default_rng(0)
    found: list[dict[str, Any]] = []
    for index in range(count):
        light = (LIGHTS[index % 6] + chance.normal(0, 0.05, 3)).round(3)
        name = f"the {NAMES[index % 6]} one"
        twice = None if index % 7 == 0 else 2 * float(light[0])
        found.append({"light": light.tolist(), "name": None if index % 5 == 0 else name, "twice": twice})
    return found


def experiment(**training: Any) -> dict[str, Any]:
    return {
        "data": {"train": rows(), "valid": 0.2, "test": 0.2},
        "inputs": {
            "light": {"kind": "vector", "width": 16},
            "name": {"kind": "text", "vocabulary": 270, "width": 16},
            "twice": {"kind": "number", "drop": 0.5},
        },
        "tasks": {
            "match": {"kind": "matching", "between": ["light", "name"], "width": 8},
            "again": {"kind": "reconstruction", "of": "twice"},
            "words": {"kind": "reconstruction", "of": "name", "width": 32},
        },
        "training": {"epochs": 12, "batch_size": 16, "learning_rate": 0.01, "device": "cpu", "patience": None}
        | training,
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return motet.fit(experiment(), out=tmp_path_factory.mktemp("matching") / "run")


def test_what_is_learned(run: Run) -> None:
    report = run.report
    assert report["match"]["recall_at_1"].value > 0.9 > 0.3 > report["match"]["recall_at_1"].baseline
    assert report["match"]["median_rank"].value == pytest.approx(1.0, abs=0.5)
    assert report["again"]["mse"].value < 0.2 < report["again"]["mse"].baseline
    assert report["words"]["mse"].value < 0.1 < report["words"]["mse"].baseline
    scored = report.content["tasks"]["match"]
    assert scored["rows"] < 36  # a row without its name has no partner to look for
    assert scored["metrics"]["recall_at_1"]["low"] <= scored["metrics"]["recall_at_1"]["value"]


def test_both_sides_are_needed_to_match(run: Run) -> None:
    contributions = {name: one["contribution"]["match"] for name, one in run.report.content["inputs"].items()}
    assert contributions["light"]["value"] == pytest.approx(contributions["name"]["value"])
    assert contributions["light"]["value"] > 0.3
    assert contributions["twice"]["value"] == 0


def test_an_absent_input_is_filled_in(run: Run) -> None:
    asked = [{"light": light.tolist()} for light in LIGHTS]
    said = [row["again"] for row in run.model.predict(asked)]
    assert np.abs(np.array(said) - 2 * LIGHTS[:, 0]).mean() < 0.25
    words = [row["words"] for row in run.model.predict(asked)]
    assert np.mean([name in word for name, word in zip(NAMES, words, strict=True)]) > 0.6


def test_a_model_that_is_loaded_answers_the_same(run: Run) -> None:
    asked = [rows()[1], {"light": rows()[2]["light"]}, {"name": "the red one"}, {}]
    answers = motet.load(run.folder).predict(asked)
    assert answers == run.model.predict(asked)
    assert [row["match"] is None for row in answers] == [False, True, True, True]
    assert [row["match__light"] is None for row in answers] == [False, False, True, True]
    assert len(answers[0]["match__name"]) == 8


def test_it_is_evaluated_on_another_table(run: Run) -> None:
    report = motet.evaluate(run.folder, rows()[:60])
    assert report["match"]["recall_at_5"].value > 0.9
    assert report.content["tasks"]["match"]["rows"] == 48
    assert report.content["tasks"]["again"]["rows"] == 51


def test_a_stopped_training_goes_on_bit_for_bit(run: Run, tmp_path: Path) -> None:
    class Stop(Quiet):
        epochs = 0

        def epoch(self, *arguments: Any, **named: Any) -> None:
            self.epochs += 1
            if self.epochs == 5:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted):
        motet.fit(experiment(), out=tmp_path / "run", progress=Stop())
    again = motet.fit(experiment(), out=tmp_path / "run", resume=True)
    first, second = (one.model.network.state_dict() for one in (run, again))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("poison", [float("nan"), 1e9, -3.0])
def test_what_absent_cells_hold_changes_no_loss(run: Run, poison: float) -> None:
    """Rows without a side are no partners and no negatives, whatever stands in their place."""
    network, absent = run.model.network, torch.arange(12) % 3 == 0
    light = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    ids, mask = torch.randint(1, 250, (12, 4), generator=torch.Generator().manual_seed(1)), torch.ones(12, 4).bool()
    twice = Cells({"features": torch.zeros(12, network.encoders["twice"].encoder.embedding.in_features)}, ~absent)
    items = Cells({"target": torch.arange(12) // 2}, torch.ones(12, dtype=torch.bool))

    def losses(filler: float) -> tuple[torch.Tensor, torch.Tensor]:
        vectors = torch.where(absent[:, None], filler, light)
        inputs = {"light": Cells({"vector": vectors}, ~absent), "twice": twice}
        inputs["name"] = Cells({"ids": ids, "mask": mask}, torch.arange(12) != 1)
        decision = network(inputs, targets={"match": items})["match"]
        assert decision.rows is not None
        loss = network.loss("match", decision.output, items.rows(decision.rows))
        (gradient,) = torch.autograd.grad(loss.sum(), network.parts.heads["match"].scale)
        return decision.rows, torch.cat([loss.detach(), gradient[None]])

    rows, found = losses(poison)
    assert rows.tolist() == [row for row in range(12) if row % 3 and row != 1]
    assert torch.equal(found, losses(0.0)[1])
    assert bool(found.isfinite().all())


def test_a_column_says_which_rows_are_about_the_same(tmp_path: Path) -> None:
    """Names are spelt in many ways; that they are of one light the column says."""
    many = [row | {"product": index % 6, "name": f"{row['name']} {index}"} for index, row in enumerate(rows())]
    document = experiment(epochs=8)
    document["data"]["train"] = many
    document["tasks"] = {"match": {"kind": "matching", "between": ["light", "name"], "column": "product"}}
    report = motet.fit(document, out=tmp_path / "run").report
    assert report["match"]["recall_at_1"].value > 0.8
    assert report["match"]["recall_at_1"].baseline > 0.1  # six items, not one for each row


def test_an_input_may_read_the_column_that_names_the_items(tmp_path: Path) -> None:
    """One light has several names, as one picture has several descriptions."""
    document = experiment(epochs=1)
    document["tasks"] = {"match": {"kind": "matching", "between": ["name", "light"], "column": "light"}}
    assert motet.fit(document, out=tmp_path / "run").report.content["tasks"]["match"]["rows"] < 36


def test_what_can_not_be_matched_is_refused_before_training(tmp_path: Path) -> None:
    for task, reason in (
        ({"kind": "matching"}, "tasks.match: a matching task is between two inputs, and there are 3"),
        ({"kind": "matching", "between": ["light", "names"]}, "no input 'names'; did you mean 'name'"),
        ({"kind": "matching", "between": ["light", "name"], "column": "id"}, "tasks.match.column: the table has no"),
        ({"kind": "reconstruction"}, "name one by `of`"),
    ):
        with pytest.raises(SpecError, match=reason):
            motet.fit(experiment() | {"tasks": {"match": task}}, out=tmp_path / "run")
