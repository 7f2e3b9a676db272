"""Several tables, rows that weigh, rows drawn more often: through the whole path, and what can not go together."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import motet
from motet.api import Run
from motet.core.errors import DataError, SpecError
from motet.data import Loader
from motet.run.check import check_experiment
from motet.run.draws import class_weights
from motet.run.order import order_of
from motet.run.prepare import Prepared, build, prepare
from motet.spec import load
from motet.training import Interrupted, Quiet


def tables() -> list[dict[str, Any]]:
    """60 rows of which every sixth is a "yes", and 24 that know another task."""
    chance = np.random.default_rng(0)
    first = [
        {"a": float(chance.normal()), "mood": "yes" if row % 6 == 0 else "no", "w": [1, 4, 0, None][row % 4]}
        for row in range(60)
    ]
    second = [{"x": float(chance.normal()), "price": float(chance.normal())} for _ in range(24)]
    return [{"table": first, "name": "gum"}, {"table": second, "name": "meld", "rename": {"x": "a"}}]


def document(**data: Any) -> dict[str, Any]:
    return {
        "data": {"train": tables(), "valid": 0.2, "test": 0.2, **data},
        "inputs": {"a": {"kind": "number", "width": 4}},
        "tasks": {"mood": "binary", "price": "regression"},
        "fusion": {"kind": "concat", "width": 4},
        "sharing": {"kind": "hard", "width": 4},
        "training": {"epochs": 2, "batch_size": 8, "optimizer": "sgd", "device": "cpu"},
    }


def prepared(rooms: dict[str, Any] | None = None, **data: Any) -> Prepared:
    return prepare(load(document(**data) | (rooms or {})), base=Path(), progress=Quiet())


def drawn(found: Prepared, *, epochs: int, **more: int) -> np.ndarray:
    order = order_of(found, build(found.fitted), **more)
    return np.concatenate([batch for epoch in range(epochs) for batch in order.batches(epoch)])


ALL = {"sampling": {"gum": 1, "meld": 2}, "weight": "w", "resample": "mood"}


# --- which rows


def test_as_ever_every_row_comes_once() -> None:
    found = prepared()
    assert sorted(drawn(found, epochs=1)) == found.fitted.splits.train.tolist()
    assert found.dataset.weights is None


def test_tables_are_drawn_by_their_share() -> None:
    found = prepared(sampling="equal")
    rows = drawn(found, epochs=200)
    assert len(rows) == 200 * len(found.fitted.splits.train)
    shares = {name: len(own) / len(rows) for name, own in found.fitted.table.by_table(rows).items()}
    assert shares == pytest.approx({"gum": 0.5, "meld": 0.5}, abs=0.02)


def test_classes_are_drawn_alike_and_rows_without_label_as_ever() -> None:
    found = prepared(resample="mood")
    rows = drawn(found, epochs=200)
    labels = np.array(
        ["none" if cell is None else str(cell) for cell in found.fitted.table.cells(("mood",), rows=rows)]
    )
    train = found.fitted.splits.train
    share = len(found.fitted.table.by_table(train)["meld"]) / len(train)
    assert (labels == "none").mean() == pytest.approx(share, abs=0.02)
    assert (labels == "yes").mean() == pytest.approx((1 - share) / 2, abs=0.02)


def test_class_weights_by_hand() -> None:
    found = prepared()
    rows = found.fitted.splits.rows
    cells = found.fitted.table.cells(("mood",), rows=rows)
    weights = class_weights(found.dataset, rows, "mood")
    by_class = {one: [w for w, cell in zip(weights, cells, strict=True) if cell == one] for one in ("yes", "no", None)}
    assert set(by_class[None]) == {1.0}
    assert sum(by_class["yes"]) == pytest.approx(sum(by_class["no"]))
    assert by_class["yes"] == pytest.approx([60 / 2 / 10] * 10)
    assert weights.mean() == pytest.approx(1)


def test_draws_multiply() -> None:
    both = prepared(sampling={"gum": 1, "meld": 2}, resample="mood")
    rows = drawn(both, epochs=200)
    labels = both.fitted.table.cells(("mood",), rows=rows)
    assert np.mean([one is None for one in labels]) == pytest.approx(2 / 3, abs=0.02)
    assert np.mean([one == "yes" for one in labels]) == pytest.approx(1 / 6, abs=0.02)


def test_processes_and_workers_read_the_same_rows() -> None:
    found = prepared(**ALL)
    network = build(found.fitted)
    whole = order_of(found, network).batches(1)
    parts = [order_of(found, network, rank=rank, count=2).batches(1) for rank in range(2)]
    for batch, one, other in zip(whole, *parts, strict=True):
        assert sorted([*one, *other]) == sorted(batch)
    read = {}
    for workers in (0, 2):
        with Loader(found.dataset, order_of(found, network), workers=workers, epoch=1) as loader:
            read[workers] = [(batch.rows.tolist(), batch.weights.tolist()) for _, _, batch in loader]
    assert read[0] == read[2]
    assert [rows for rows, _ in read[0]] == [batch.tolist() for batch in whole]


# --- the whole path


class StopAt(Quiet):
    """Presses Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Any) -> None:
        if step == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return motet.fit(document(**ALL), out=tmp_path_factory.mktemp("draws") / "run")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "bundle" / "weights.safetensors")


def test_each_table_is_validated_and_scored(run: Run) -> None:
    lines = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines()]
    told = [line for line in lines if "valid" in line]
    assert len(told) == 2
    for line in told:
        assert {name: set(one) for name, one in line["tables"].items()} == {"gum": {"mood"}, "meld": {"price"}}
        assert line["tables"]["gum"]["mood"] == line["valid"]["mood"]
    tasks = run.report.content["tasks"]
    assert list(tasks["mood"]["tables"]) == ["gum"]
    assert tasks["price"]["tables"]["meld"]["mae"] == tasks["price"]["metrics"]["mae"]["value"]
    assert "By table" in (run.folder / "report.html").read_text()
    again = motet.evaluate(run.model, tables())
    assert again.content["tasks"]["mood"]["tables"]["gum"]["auroc"] == again["mood"]["auroc"].value
    assert "the rows of gum, meld" in again.to_text()


def test_a_task_known_in_both_tables_is_scored_in_each(tmp_path: Path) -> None:
    first, second = tables()
    for row in second["table"]:
        row["mood"] = "yes" if row["x"] > 0 else "no"
    found = motet.fit(document(train=[first, second]), out=tmp_path / "run")
    entry = found.report.content["tasks"]["mood"]
    by_table = {name: one["accuracy"] for name, one in entry["tables"].items()}
    assert list(by_table) == ["gum", "meld"]
    assert entry["metrics"]["accuracy"]["value"] == pytest.approx((12 * by_table["gum"] + 5 * by_table["meld"]) / 17)


def test_one_table_has_no_scores_by_table(tmp_path: Path) -> None:
    found = motet.fit(document(train=tables()[:1]) | {"tasks": {"mood": "binary"}}, out=tmp_path / "run")
    assert "tables" not in found.report.content["tasks"]["mood"]
    assert "tables" not in (found.folder / "log.jsonl").read_text()
    assert "By table" not in (found.folder / "report.html").read_text()


def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(run: Run, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        motet.fit(document(**ALL), out=tmp_path / "stopped", progress=StopAt(5))
    resumed = motet.fit(document(**ALL), out=tmp_path / "stopped", resume=True)
    for name, weight in weights(run.folder).items():
        assert torch.equal(weights(resumed.folder)[name], weight), name
    (resumed.folder / "report.json").unlink()
    with pytest.raises(SpecError, match=r"data\.sampling differ"):
        motet.fit(document(**ALL | {"sampling": "equal"}), out=resumed.folder, resume=True)


def test_two_processes_train_what_one_does(run: Run, tmp_path: Path) -> None:
    both = document(**ALL)
    both["training"]["devices"] = 2
    found = motet.fit(both, out=tmp_path / "run")
    for name, weight in weights(run.folder).items():
        torch.testing.assert_close(weights(found.folder)[name], weight, atol=1e-5, rtol=1e-4)


def test_the_order_of_rows_in_the_answers_is_told_by_table(run: Run) -> None:
    answers = (run.folder / "predictions" / "test.csv").read_text().splitlines()
    assert answers[0].startswith("row,mood,")
    assert {line.split(",")[0].split(":")[0] for line in answers[1:]} == {"gum", "meld"}


def test_labels_of_rows_of_weight_0_can_not_be_seen_in_the_weights_of_the_model(tmp_path: Path) -> None:
    first = tables()[0]["table"]
    yes = next(row for row in first if row["mood"] == "yes" and row["w"] == 0)
    no = next(row for row in first if row["mood"] == "no" and row["w"] == 0)
    found = []
    for swapped in (False, True):
        other = [row | ({"mood": "no"} if row is yes else {"mood": "yes"} if row is no else {}) for row in first]
        data = {"train": other if swapped else first, "valid": first[:20], "test": None}
        for weight in ("w", None):
            rooms = document(**data, weight=weight) | {"tasks": {"mood": "binary"}}
            found.append(weights(motet.fit(rooms, out=tmp_path / f"{swapped}{weight}").folder))
    weighed, plain, weighed_swapped, plain_swapped = found
    assert all(torch.equal(one, weighed_swapped[name]) for name, one in weighed.items())
    assert not all(torch.equal(one, plain_swapped[name]) for name, one in plain.items())


# --- what can not go together

LATE = {
    "fusion": {"kind": "late", "rule": "product"},
    "inputs": {"a": "number", "w2": {"kind": "number", "column": "w"}},
}


@pytest.mark.parametrize(
    ("data", "rooms", "said"),
    [
        ({"resample": "price"}, {}, r"data\.resample: 'price' is regression; rows are drawn by the classes"),
        ({"resample": "mod"}, {}, r"data\.resample: there is no task 'mod'; did you mean 'mood'"),
        ({"sampling": {"gum": 1}}, {}, r"data\.sampling: table 'meld' is not among gum"),
        ({"sampling": {"gum": 1, "mld": 1}}, {}, r"data\.sampling: no table .* 'mld'; did you mean 'meld'"),
        ({"weight": "ww"}, {}, r"data\.weight: <gum in memory> has no column 'ww'"),
        ({"weight": "w"}, {"balance": {"modalities": "ogm"}}, r"balance\.modalities: some rows weigh more .* of ogm"),
        ({"weight": "w"}, LATE, r"fusion\.rule: some rows weigh more than others"),
    ],
)
def test_refused_by_check_and_before_anything_is_written(data: Any, rooms: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=said):
        check_experiment(load(document(**data) | rooms), base=Path(), sample=None, progress=Quiet())
    with pytest.raises(SpecError, match=said):
        motet.fit(document(**data) | rooms, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_two_ways_of_drawing_that_exclude_each_other(tmp_path: Path) -> None:
    scarce = {"balance": {"modalities": {"kind": "resample", "scarce": 1.0}}, "inputs": LATE["inputs"]}
    with pytest.raises(SpecError, match=r"data\.resample: .* and by balance\.modalities \(resample\)"):
        motet.fit(document(resample="mood") | scarce, out=tmp_path / "run")
    found = prepared(scarce, sampling="equal")
    throttled = prepared(scarce)
    network = build(found.fitted)
    ratio = order_of(found, network)._share / order_of(throttled, network)._share  # type: ignore[operator]
    own = found.fitted.table.by_table(found.fitted.splits.train)
    assert np.ptp(ratio[own["gum"]]) < 1e-9 < np.ptp(ratio)


def test_a_bad_weight_is_a_line_of_check(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,mood,w\n1,yes,1\n2,no,-3\n3,yes,many\n4,no,\n")
    experiment = load(document(train="t.csv", weight="w", valid=0.3, test=None) | {"tasks": {"mood": "binary"}})
    with pytest.raises(DataError, match=r"t\.csv:3:w: expected a weight.*\n.*t\.csv:4:w: expected a weight"):
        check_experiment(experiment, base=tmp_path, sample=None, progress=Quiet())
