"""Tasks that compare rows, through the whole path: who meets in a batch, what is refused, what is learned and kept."""

import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

import motet
from motet.core.errors import DataError, SpecError
from motet.run.order import check_order, order_of, row_groups
from motet.run.prepare import build, prepare
from motet.spec import load
from motet.training import Quiet


def rows(number: int = 240) -> list[dict[str, Any]]:
    """`a` says what is relevant, `b` how soon somebody dies; a sixth of the labels of either task are absent."""
    chance = np.random.default_rng(0)
    a, b = chance.normal(size=(2, number))
    died, left = chance.exponential(size=number) / np.exp(1.5 * b), chance.exponential(size=number) * 2.0
    return [
        {
            "a": float(a[row]),
            "b": float(b[row]),
            "c": float(row) if row % 2 else None,
            "query": None if row % 24 == 0 else f"query {row % 24 if row % 5 else 99}",
            "rel": int(np.clip(np.round(a[row] + 1), 0, 3)) if row % 6 else None,
            "time": float(min(died[row], left[row])) if row % 6 != 1 else None,
            "died": int(died[row] <= left[row]),
        }
        for row in range(number)
    ]


def document(**changes: Any) -> dict[str, Any]:
    return {
        "data": {"train": rows(), "valid": 0.2, "test": 0.2},
        "inputs": {"a": {"kind": "number", "width": 8}, "b": {"kind": "number", "width": 8}},
        "tasks": {
            "rel": {"kind": "ranking", "group": "query"},
            "time": {"kind": "survival", "event": "died"},
        },
        "fusion": {"kind": "concat", "width": 16},
        "training": {"epochs": 12, "batch_size": 32, "learning_rate": 0.01},
    } | changes


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return motet.fit(document(), out=tmp_path_factory.mktemp("order") / "run")


def test_both_tasks_are_learned_and_told(run: Any) -> None:
    for task, metric, least in (("rel", "ndcg", 0.9), ("time", "concordance", 0.7)):
        figure = run.report[task][metric]
        assert figure.value > least
        assert figure.low > figure.baseline
    answers = run.model.predict([{"a": 2.0, "b": -1.0}, {"a": -2.0, "b": 1.0}])
    assert answers[0]["rel"] > answers[1]["rel"]
    assert answers[0]["time"] < answers[1]["time"]
    assert answers[0]["time__median"] > answers[1]["time__median"]
    assert answers[0]["time__probability"] > answers[1]["time__probability"]


def test_a_saved_model_scores_any_table_that_has_the_labels_whole(run: Any) -> None:
    model = motet.load(run.folder / "bundle")
    report = motet.evaluate(model, rows())
    assert report["rel"]["ndcg"].value > 0.9
    without = [{name: value for name, value in row.items() if name != "query"} for row in rows()]
    assert list(motet.evaluate(model, without).content["tasks"]) == ["time"]
    for bad, said in (({"rel": -1}, "not from 0 to 50"), ({"died": "maybe"}, "holds 'maybe'")):
        with pytest.raises(DataError, match=said):
            motet.evaluate(model, [rows()[2] | bad])


def test_a_row_without_its_group_or_its_event_has_no_label() -> None:
    table = rows()
    prepared = prepare(load(document(data={"train": table, "valid": 0.2})), base=Path(), progress=Quiet())
    store = prepared.dataset.store
    for task, columns in (("rel", ("rel", "query")), ("time", ("time", "died"))):
        expected = [all(table[row][name] is not None for name in columns) for row in store.rows.tolist()]
        assert store.columns[task].present.tolist() == expected


def test_rows_of_a_group_meet_in_a_batch() -> None:
    prepared = prepare(load(document()), base=Path(), progress=Quiet())
    order = order_of(prepared, build(prepared.fitted))
    train, table = prepared.fitted.splits.train, rows()
    cut = 0
    seen = [{table[row]["query"] for row in batch} - {None} for batch in order.batches(0)]
    for one, following in pairwise(seen):
        cut += len(one & following)
        assert len(one & following) <= 1  # the group at the border alone
    assert len({query for one in seen for query in one}) + cut == sum(map(len, seen))
    groups = row_groups(prepared)
    assert groups is not None
    names = [table[row]["query"] for row in train.tolist()]
    alone = [group for group, name in zip(groups.tolist(), names, strict=True) if name is None]
    assert len(set(alone)) == len(alone) > 0
    assert len(set(groups.tolist())) == len(set(names) - {None}) + len(alone)


def test_a_run_that_was_stopped_ends_like_one_that_was_not(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("motet.training.loop.LONGEST_GAP", -1.0)
    stopped = motet.fit(document(), out=tmp_path / "run").folder
    newest = sorted((stopped / "checkpoints").iterdir())[-1]
    shutil.rmtree(newest)
    shutil.rmtree(stopped / "bundle")
    (stopped / "report.json").unlink()
    motet.fit(document(), out=stopped, resume=True)
    expected = load_file(run.folder / "bundle" / "weights.safetensors")
    found = load_file(stopped / "bundle" / "weights.safetensors")
    assert all(bool((found[name] == expected[name]).all()) for name in expected)


def test_what_can_not_be_drawn_together_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    two = document()
    two["tasks"] = two["tasks"] | {"also": {"kind": "ranking", "column": "rel", "group": "died"}}
    scarce = document(balance={"modalities": {"kind": "resample", "scarce": 1.0}})
    scarce["inputs"] = scarce["inputs"] | {"c": {"kind": "number", "width": 8}}
    for change, said in (
        (two, r"tasks\.rel: the rows of one 'query' .* tasks\.also those of one 'died'"),
        (scarce, r"balance\.modalities: rows are drawn one by one, but tasks\.rel learns from rows that meet"),
    ):
        with pytest.raises(SpecError, match=said):
            motet.fit(change, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_columns_that_are_not_there_or_give_the_answer_away_are_refused(tmp_path: Path) -> None:
    tasks = document()["tasks"]
    for change, said in (
        ({"tasks": tasks | {"rel": {"kind": "ranking", "group": "querry"}}}, r"tasks\.rel\.group: .*'query'"),
        ({"tasks": {"rel": "ranking"}}, r"tasks\.rel\.group: the table has no column 'group'"),
        ({"inputs": {"died": "number"}}, r"tasks\.time: column 'died' is also read by inputs\.died"),
    ):
        with pytest.raises(SpecError, match=said):
            motet.fit(document(**change), out=tmp_path / "run")


def test_the_group_may_be_an_input_too(tmp_path: Path) -> None:
    inputs = document()["inputs"] | {"query": {"kind": "category", "width": 4}}
    run = motet.fit(document(inputs=inputs, training={"epochs": 1, "batch_size": 32}), out=tmp_path / "run")
    assert run.report["rel"]["ndcg"].value is not None


@pytest.mark.parametrize("words", [False, True])
def test_rows_of_like_length_meet_where_they_are_asked_to(words: bool) -> None:
    chance = np.random.default_rng(0)
    texts = [{"note": "word " * int(chance.geometric(0.1)), "x": float(chance.normal())} for _ in range(400)]
    padded = {}
    for grouped in (False, True):
        asked = {
            "data": {"train": texts, "valid": 0.2},
            "inputs": {"note": {"kind": "text", "vocabulary": 300, "width": 4, "words": words}},
            "tasks": {"x": "regression"},
            "training": {"epochs": 1, "batch_size": 16, "group_lengths": grouped},
        }
        prepared = prepare(load(asked), base=Path(), progress=Quiet())
        order = order_of(prepared, build(prepared.fitted))
        masks = [prepared.dataset.batch(rows, epoch=0).inputs["note"].values["mask"] for rows in order.batches(0)]
        padded[grouped] = sum(int((~mask).sum()) for mask in masks) / sum(mask.numel() for mask in masks)
    assert padded[True] < 0.15 < 0.5 < padded[False]
    both = document(training=document()["training"] | {"group_lengths": True})
    refused = prepare(load(both), base=Path(), progress=Quiet())
    network = build(refused.fitted)
    with pytest.raises(SpecError, match=r"training\.group_lengths: tasks\.rel says which rows meet in a batch"):
        check_order(refused, network)
