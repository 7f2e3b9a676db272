"""Words tagged, from the table to the answers: parts of speech and names in one model, from CSV and from Parquet."""

import csv
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import motet
from motet.api import Run
from motet.core.errors import DataError, SpecError
from motet.data import read_table
from motet.model.export import export, flat
from motet.training import Interrupted, Quiet

PLACES = (("Rome",), ("New", "York"), ("Bath",), ("San", "Marino"))
NOUNS = ("boat", "house", "child", "river", "stone")
STEMS = ("wal", "tal", "gli", "bor", "ter", "mun", "kep", "dor", "fal", "sin")


def sentence(number: int) -> dict[str, Any]:
    """A noun, a verb known by its ending, and where: every verb of the first rows is one of its own."""
    chance = np.random.default_rng(number)
    place = PLACES[int(chance.integers(4))]
    stem = "".join(STEMS[int(digit)] for digit in f"{number:02}")
    words = ["the", NOUNS[int(chance.integers(5))], f"{stem}ked", "in", *place]
    speech = ["DET", "NOUN", "VERB", "ADP", *["PROPN"] * len(place)]
    names = ["O", "O", "O", "O", "B-place", *["I-place"] * (len(place) - 1)]
    return {"words": words, "pos": speech, "name": names, "long": ["no", "yes"][len(place) - 1], "size": len(words)}


ROWS = [sentence(number) for number in range(90)]
TAUGHT = {"vocabulary": 300, "width": 16, "dropout": 0.1}


def experiment(rows: Any = ROWS, *, text: str = "words", **training: Any) -> dict[str, Any]:
    rest = {"batch_size": 16, "learning_rate": 0.01, "average": 0.0, "patience": None, "device": "cpu"}
    return {
        "data": {"train": rows, "valid": 0.15, "test": 0.15},
        "inputs": {text: {"kind": "text", **TAUGHT}, "size": {"kind": "number", "width": 8}},
        "tasks": {"pos": {"kind": "tagging", "metric": "accuracy"}, "name": "tagging", "long": "binary"},
        "training": {"epochs": 12, **rest, **training},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("tagging")
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "table.parquet")
    return motet.fit(experiment(str(folder / "table.parquet")), out=folder / "run")


def test_what_can_be_learned_is_learned(run: Run) -> None:
    report = run.report.content["tasks"]
    assert report["pos"]["primary"] == "accuracy"
    assert report["pos"]["metrics"]["accuracy"]["value"] > 0.99
    assert report["name"]["metrics"]["f1"]["value"] > 0.95
    assert report["pos"]["baseline"]["accuracy"] < 0.3
    assert report["name"]["baseline"] == pytest.approx({"f1": 0.0, "accuracy": 0.75}, abs=0.1)


def test_a_verb_never_seen_is_known_by_its_spelling(run: Run) -> None:
    answers = run.model.predict([{"words": ["the", "boat", "zumbeked", "in", "Rome"], "size": 5}])[0]
    assert answers["pos"] == ["DET", "NOUN", "VERB", "ADP", "PROPN"]


def test_answers_are_as_long_as_their_text(run: Run) -> None:
    asked = [
        {"words": ["the", "boat", "walked", "in", "New", "York"], "size": 6},
        {"words": None, "size": 5},
        {"words": ["Rome"], "size": None},
        {"words": [], "size": 1},
    ]
    answers = run.model.predict(asked)
    assert [row["pos"] and len(row["pos"]) for row in answers] == [6, None, 1, []]
    assert answers[0]["name"] == ["O", "O", "O", "O", "B-place", "I-place"]
    assert answers[0]["name__entities"] == [{"type": "place", "start": 4, "end": 6}]
    assert answers[1]["name__entities"] is None
    assert [row["long"] is not None for row in answers] == [True] * 4
    assert motet.load(run.folder).predict(asked) == answers


def test_it_is_evaluated_on_another_table(run: Run) -> None:
    rows = [
        {**ROWS[0], "pos": None},
        {**ROWS[1], "pos": ["X", *ROWS[1]["pos"][1:]], "name": None},
    ]
    report = motet.evaluate(run.folder, rows)
    count = len(ROWS[1]["words"])
    assert report["pos"]["accuracy"].value == pytest.approx((count - 1) / count), "a tag never trained on is a miss"
    assert report.content["tasks"]["name"]["rows"] == 1


def test_a_table_without_the_words_has_nothing_to_tag(run: Run) -> None:
    report = motet.evaluate(run.folder, [{"size": 5, "pos": ["DET"], "name": ["O"], "long": "no"}] * 3)
    assert set(report.content["tasks"]) == {"long"}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_answers_are_written(run: Run, tmp_path: Path, suffix: str) -> None:
    table = tmp_path / "ask.csv"
    table.write_text("words,size\nthe boat walked in New York,6\n,5\n")
    out = tmp_path / f"out.{suffix}"
    motet.predict(run.folder, table, output=out)
    tags = ["DET", "NOUN", "VERB", "ADP", "PROPN", "PROPN"]
    if suffix == "csv":
        with out.open(newline="") as file:
            assert [row["pos"] for row in csv.DictReader(file)] == ["|".join(tags), ""]
    elif suffix == "jsonl":
        assert [json.loads(line)["pos"] for line in out.read_text().splitlines()] == [tags, None]
    else:
        assert pq.read_table(out)["pos"].to_pylist() == [tags, None]


def test_text_and_lists_are_learned_alike(tmp_path: Path) -> None:
    """Words between spaces and tags between bars, or spaces, say what lists say."""
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(ROWS[0])
        for row in ROWS:
            cells = [" ".join(row["words"]), " ".join(row["pos"]), "|".join(row["name"]), row["long"], row["size"]]
            writer.writerow(cells)
    one = motet.fit(experiment(str(table), epochs=1), out=tmp_path / "text")
    other = motet.fit(experiment(epochs=1), out=tmp_path / "lists")
    weights = "bundle/weights.safetensors"
    assert (one.folder / weights).read_bytes() == (other.folder / weights).read_bytes()


def test_tags_must_be_as_many_as_words(tmp_path: Path) -> None:
    table = tmp_path / "table.jsonl"
    rows = [*ROWS[:40], {**ROWS[40], "pos": ["DET", "NOUN"]}]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    count = len(ROWS[40]["words"])
    reason = rf"table\.jsonl:41:pos: 2 tags for {count} words: \['DET', 'NOUN'\]"
    with pytest.raises(DataError, match=reason):
        motet.fit(experiment(str(table)), out=tmp_path / "run")


def test_words_that_are_kept_together_can_not_be_tagged(tmp_path: Path) -> None:
    asked = experiment()
    asked["inputs"]["words"]["words"] = False
    with pytest.raises(SpecError, match=r"inputs\.words\.words: found False, but tasks\.\w+ needs True to read it"):
        motet.fit(asked, out=tmp_path / "run")


def test_a_resumed_run_ends_the_same(run: Run, tmp_path: Path) -> None:
    class Stops(Quiet):
        def step(self, *args: Any, **named: Any) -> None:
            self.count = getattr(self, "count", 0) + 1
            if self.count == 20:
                signal.raise_signal(signal.SIGINT)

    out = tmp_path / "run"
    table = str(run.folder.parent / "table.parquet")
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        motet.fit(experiment(table), out=out, progress=Stops())
    again = motet.fit(experiment(table), out=out, resume=True)
    weights = "bundle/weights.safetensors"
    assert (again.folder / weights).read_bytes() == (run.folder / weights).read_bytes()


def test_an_exported_graph_tags_texts_of_other_lengths(run: Run) -> None:
    batch = next(iter(run.model._batches(read_table(ROWS[:5]), {}, None)))
    graph = export(run.model.network, batch.inputs).module()
    rows = [
        {"words": ["Rome"], "size": 5},
        {"words": None, "size": 3},
        {"words": ["the", "boat", *["in"] * 9], "size": 4},
    ]
    asked = next(iter(run.model._batches(read_table(rows), {}, None)))
    said = graph(*flat(asked.inputs).values())
    with torch.no_grad():
        expected = run.model.network(asked.inputs)
    for task in ("pos", "name"):
        assert torch.equal(said[task], expected[task].output)
