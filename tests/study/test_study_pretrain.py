"""Pretraining: the same experiment without its labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import motet
from motet import balance, fusion, inputs, tasks
from motet.artifact import read_bundle
from motet.core.errors import SpecError
from motet.study.pretrain import default_tasks, load_unlabelled, unlabelled

NOTE = {"kind": "text", "vocabulary": 275, "width": 6}
MATCHED = {"note": NOTE, "title": {**NOTE, "share": "note"}}
OFF = {"data": {"train": "t.csv"}, "tasks": {"bought": "binary"}}


def rows(
    *, count: int = 40, labels: Any = lambda number: {"bought": ["no", "yes"][number % 2]}
) -> list[dict[str, Any]]:
    chance = np.random.default_rng(0)
    words = ["alpha", "beta", "gamma", "delta", "kappa", "lambda"]
    return [
        {
            "note": " ".join(chance.choice(words, size=3)),
            "title": f"{chance.choice(words)} {number}",
            "age": round(float(chance.normal(40, 10)), 1),
            **labels(number),
        }
        for number in range(count)
    ]


def document(table: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    small = {"fusion": {"kind": "concat", "width": 8}, "sharing": {"kind": "hard", "width": 8}}
    given = {"data": {"train": table, "valid": 0.2}, "inputs": MATCHED, "tasks": {"bought": "binary"}}
    return given | small | {"training": {"epochs": 2, "batch_size": 8}} | changes


# --- which tasks


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"a": "image", "b": "text"}, [("a", "b")]),
        ({"a": "text", "b": "image", "c": "number"}, [("b", "a")]),
        ({"a": "text", "b": "image", "c": "audio"}, [("b", "a"), ("c", "a"), ("b", "c")]),
        (dict.fromkeys("abcd", "image"), [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")]),
        (dict.fromkeys("abcde", "image"), [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("a", "e")]),
    ],
)
def test_inputs_that_are_media_or_texts_are_matched_in_pairs(
    given: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    experiment = motet.Experiment(**OFF, inputs=given)  # type: ignore[arg-type]
    found = default_tasks(experiment.inputs)
    assert all(isinstance(one, tasks.Matching) for one in found.values())
    assert [one.between for one in found.values()] == expected  # type: ignore[attr-defined]


def test_of_fewer_each_input_is_reconstructed() -> None:
    found = default_tasks({"photo": inputs.Image(), "age": inputs.Number()})
    assert {name: one.of for name, one in found.items()} == {  # type: ignore[attr-defined]
        "reconstruction of age": "age",
        "reconstruction of photo": "photo",
    }
    assert [one.read for one in default_tasks({"note": inputs.Text()}).values()] == ["tokens"]  # type: ignore[attr-defined]


def test_a_name_that_an_input_has_is_not_taken() -> None:
    found = default_tasks({"age": inputs.Number(), "reconstruction of age": inputs.Number()})
    assert list(found) == ["reconstruction of age'", "reconstruction of reconstruction of age"]


def test_inputs_that_can_not_be_reconstructed() -> None:
    class Other(inputs.Number):
        kind: str = "other"  # type: ignore[assignment]

    with pytest.raises(SpecError, match=r"of kinds other none can be reconstructed.*name a task"):
        default_tasks({"x": Other()})
    with pytest.raises(SpecError, match="of kinds text none can be reconstructed"):
        default_tasks({"x": inputs.Text(encoder="minilm")})  # type: ignore[arg-type]


def test_the_experiments_own_tasks_without_labels_stay_and_no_other() -> None:
    own = {"pairs": tasks.Matching(width=7, column="item"), "again": tasks.Reconstruction(of="note")}
    experiment = motet.Experiment(**OFF | {"tasks": {"bought": "binary"} | own}, inputs=MATCHED)  # type: ignore[arg-type]
    found = unlabelled(experiment).tasks
    assert list(found) == ["pairs", "again"]
    assert found["again"] == own["again"]
    assert (found["pairs"].column, found["pairs"].width) == (None, 7)  # type: ignore[attr-defined]


def test_what_goes_with_labels_is_left_out_and_all_else_is_kept() -> None:
    experiment = motet.Experiment(
        data={"train": "t.csv", "resample": "bought", "weight": "trust", "group": "owner"},  # type: ignore[arg-type]
        inputs=MATCHED,  # type: ignore[arg-type]
        tasks={"bought": tasks.Binary(), "price": tasks.Regression()},
        fusion=fusion.Late(rule="stacking", width=12, folds=3),
        balance={"tasks": balance.Fixed(weights={"bought": 2.0, "price": 1.0}), "modalities": "ogm"},  # type: ignore[arg-type]
        training={"epochs": "auto", "init_from": "runs/pre", "mix": "mixup"},  # type: ignore[arg-type]
    )
    found = unlabelled(experiment)
    assert found.data == experiment.data.model_copy(update={"resample": None, "weight": None})
    assert found.inputs == experiment.inputs
    assert found.fusion.model_dump() == fusion.Late(width=12, auxiliary=1.0).model_dump()
    assert found.balance == motet.Balance()
    assert found.training == experiment.training.model_copy(update={"init_from": None, "mix": None})
    assert found.sharing == experiment.sharing


def test_rows_that_are_mixed_and_weighed_with_labels_are_pretrained_without(tmp_path: Path) -> None:
    table = [row | {"trust": "unknown"} for row in rows(count=20)]
    given = document(table, training={"epochs": 1, "mix": "mixup"})
    given["data"] = given["data"] | {"weight": "trust"}
    run = motet.pretrain(given, out=tmp_path / "run")
    assert list(run.report.content["tasks"]) == ["matching of note and title"]


@pytest.mark.parametrize("own", [{}, {"again": {"kind": "reconstruction", "of": "note", "read": "tokens"}}])
def test_what_a_task_that_is_left_out_asks_of_an_input_it_has_here_too(own: dict[str, Any], tmp_path: Path) -> None:
    table = [row | {"tags": ["A", "B", "A"]} for row in rows(count=20)]
    tasks = {"tags": {"kind": "tagging", "of": "note"}, **own}
    given = document(table, tasks=tasks, training={"epochs": 1})
    pre = motet.pretrain(given, out=tmp_path / "pre")
    fitted = {name: preparation for name, (_, preparation) in motet.load(pre.folder).inputs.items()}
    assert [fitted[name].words for name in ("note", "title")] == [True, True]  # type: ignore[attr-defined]
    assert "tags" not in pre.report.content["tasks"]
    run = motet.fit(given | {"training": {"epochs": 1, "init_from": str(pre.folder)}}, out=tmp_path / "run")
    assert run.report.content["training"]["init_from"].startswith("input note, ")
    assert motet.load(run.folder).inputs["note"][1] == fitted["note"]


def test_what_is_asked_and_what_is_written_do_not_agree() -> None:
    given = document(rows(count=20), tasks={"tags": {"kind": "tagging", "of": "note"}})
    given["inputs"] = {"note": NOTE | {"words": False}}
    with pytest.raises(SpecError, match=r"inputs\.note\.words: found False, but tasks\.tags needs True"):
        load_unlabelled(given)


def test_a_document_may_leave_out_its_tasks(tmp_path: Path) -> None:
    path = tmp_path / "experiment.yaml"
    path.write_text("data: t.csv\ninputs: {note: text, title: text}\n")
    assert list(load_unlabelled(path).tasks) == ["matching of note and title"]
    with pytest.raises(SpecError, match=r"inputs\.note\.kind: 'tekst'"):
        load_unlabelled({"data": "t.csv", "inputs": {"note": "tekst"}})


# --- labels are never read


def test_labels_change_nothing_whatever_stands_there_or_nothing(tmp_path: Path) -> None:
    tables = {
        "labelled": rows(),
        "absent": rows(labels=lambda number: {}),
        "empty": rows(labels=lambda number: {"bought": None}),
        "poisoned": rows(labels=lambda number: {"bought": ["maybe", "x" * 99, "nan", "-1"][number % 4]}),
    }
    found = {name: motet.pretrain(document(table), out=tmp_path / name) for name, table in tables.items()}
    bundles = [(run.folder / "bundle" / "weights.safetensors").read_bytes() for run in found.values()]
    assert all(one == bundles[0] for one in bundles)
    assert all(run.report.content["training"]["rows"] == {"train": 32, "valid": 8, "test": 0} for run in found.values())
    assert list(found["labelled"].report.content["tasks"]) == ["matching of note and title"]
    logs = [(run.folder / "log.jsonl").read_bytes() for run in found.values()]
    assert all(one == logs[0] for one in logs)


def test_rows_without_any_label_are_learned_from(tmp_path: Path) -> None:
    """Training with labels passes over them; so many rows' losses are counted."""
    import json

    few = rows(labels=lambda number: {"bought": ["no", "yes"][number % 2] if number < 12 else None})
    run = motet.pretrain(document(few), out=tmp_path / "run")
    steps = [json.loads(line) for line in (run.folder / "log.jsonl").read_text().splitlines() if '"losses"' in line]
    assert len(steps) == 2 * 32 // 8
    assert all("matching of note and title" in line["losses"] for line in steps)


@pytest.mark.parametrize("room", ["fusion", "sharing"])
def test_every_fusion_and_way_of_sharing_is_pretrained_and_started_from(room: str, tmp_path: Path) -> None:
    kinds = {"fusion": ["hybrid", "late", "perceiver"], "sharing": ["ple", "clustered", "mmoe"]}[room]
    for kind in kinds:
        given = document(rows(), **{room: {"kind": kind, "width": 8}} if kind != "hybrid" else {room: "auto"})
        given |= {"inputs": {"note": NOTE, "age": {"kind": "number", "width": 4}}, "training": {"epochs": 1}}
        pre = motet.pretrain(given, out=tmp_path / kind)
        assert sorted(pre.report.content["tasks"]) == ["reconstruction of age", "reconstruction of note"]
        run = motet.fit(given | {"training": {"epochs": 1, "init_from": str(pre.folder)}}, out=tmp_path / f"{kind} run")
        said = run.report.content["training"]["init_from"]
        assert said.startswith("inputs age, note, fusion (")
        assert "trunk (" in said


def test_epochs_auto_and_resume_on_a_finished_run(tmp_path: Path) -> None:
    given = document(rows(count=20), training={"epochs": "auto", "patience": 1, "learning_rate": 1e-9})
    run = motet.pretrain(given, out=tmp_path / "run")
    assert motet.pretrain(given, out=tmp_path / "run", resume=True).already_done
    assert read_bundle(run.folder / "bundle").model["tasks"].keys() == {"matching of note and title"}
