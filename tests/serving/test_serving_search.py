"""Searching a gallery: the nearest rows as a loop finds them, either side, every kind of table, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import motet
from motet.core.errors import DataError, SpecError
from motet.serving import Predictor
from motet.serving.search import nearest

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0), "grey": (0.5, 0.5, 0.5)}


def rows(count: int = 64) -> list[dict[str, Any]]:
    """A colour as three numbers, what it is called, and what it costs; every ninth row lacks its words."""
    chance = np.random.default_rng(0)
    found: list[dict[str, Any]] = []
    for index in range(count):
        name = list(COLOURS)[index % 4]
        light = (np.array(COLOURS[name]) + chance.normal(0, 0.1, 3)).tolist()
        found.append({"id": f"r{index}", "light": light, "words": name if index % 9 else None, "price": index})
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    experiment = {
        "data": {"train": rows(), "valid": 0.2, "id": "id"},
        "inputs": {
            "light": {"kind": "vector", "width": 8},
            "words": {"kind": "category", "width": 8, "unseen": 0.0, "min_count": 1},
        },
        "tasks": {"match": {"kind": "matching", "width": 8}},
        "training": {"epochs": 30, "batch_size": 16, "learning_rate": 0.02},
    }
    return motet.fit(experiment, out=tmp_path_factory.mktemp("search") / "run").model


GALLERY = [{"words": name, "in stock": name != "blue"} for name in COLOURS]


def test_the_nearest_as_a_loop_finds_them() -> None:
    chance = np.random.default_rng(0)
    queries, gallery = chance.integers(-2, 3, (7, 3)), chance.integers(-2, 3, (30, 3))
    places, scores = nearest(queries.astype(np.float32), gallery.astype(np.float32), 6)
    for query, found, score in zip(queries, places, scores, strict=True):
        products = [sum(int(a) * int(b) for a, b in zip(query, one, strict=True)) for one in gallery]
        expected = sorted(range(30), key=lambda place: (-products[place], place))[:6]
        assert found.tolist() == expected
        assert score.tolist() == [products[place] for place in expected]


def test_as_many_as_there_are() -> None:
    one, none = np.ones((2, 3), dtype=np.float32), np.zeros((0, 3), dtype=np.float32)
    assert nearest(one, one, 5)[0].tolist() == [[0, 1], [0, 1]]
    assert nearest(one, none, 5)[0].shape == (2, 0)
    assert nearest(none, one, 5)[0].shape == (0, 2)


def test_a_light_finds_its_words(model: Predictor) -> None:
    asked = rows(8)
    found = model.search([{"light": row["light"], "id": row["id"]} for row in asked], GALLERY, k=2)
    assert list(found[0]) == ["id", "rank", "score", "match", "match__words", "match__in stock"]
    assert [one["id"] for one in found] == [row["id"] for row in asked for _ in range(2)]
    assert [one["rank"] for one in found] == [1, 2] * 8
    best = found[::2]
    assert [one["match__words"] for one in best] == [list(COLOURS)[index % 4] for index in range(8)]
    assert [one["match"] for one in best] == [1 + index % 4 for index in range(8)]
    assert all(first["score"] >= second["score"] for first, second in zip(best, found[1::2], strict=True))


def test_scores_are_those_of_predict(model: Predictor) -> None:
    row = rows(2)[1]
    (pair,) = model.predict([row])
    found = model.search([row], [row], by="light", of="words")
    assert found[0]["score"] == pytest.approx(pair["match"], abs=1e-5)
    assert (found[0]["match"], found[0]["id"], len(found)) == ("r1", "r1", 1)
    cosine = np.dot(pair["match__light"], pair["match__words"])
    assert found[0]["score"] == pytest.approx(cosine, abs=1e-5)


def test_words_find_lights_and_lights_find_lights(model: Predictor) -> None:
    found = model.search([{"words": "green"}], rows(), k=16)
    assert [one["match__price"] % 4 for one in found] == [1] * 16
    like = model.search([{"light": rows()[6]["light"]}], rows(), k=3, by="light", of="light")
    assert (like[0]["match"], like[0]["score"]) == ("r6", 1.0)


def test_an_index_is_searched_often(model: Predictor) -> None:
    index = model.index(rows(), of="words")
    assert (index.of, len(index)) == ("words", sum(row["words"] is not None for row in rows()))
    for row in rows(6):
        ours = index.search([{"light": row["light"]}], k=4)
        once = model.search([{"light": row["light"]}], rows(), k=4)
        assert ours == once
    assert all(one["match__words"] is not None for one in index.search(rows(), k=64))


def test_a_row_without_the_input_neither_asks_nor_is_found(model: Predictor) -> None:
    asked = [{"light": rows()[0]["light"]}, {"light": None}, {"light": rows()[1]["light"]}]
    found = model.search(asked, [*GALLERY, {"words": None, "in stock": True}], k=9)
    assert [one["row"] for one in found] == [1] * 4 + [3] * 4
    assert {one["match"] for one in found} == {1, 2, 3, 4}
    assert model.search(asked, [{"words": None, "light": None}, {"words": "", "light": None}], of="words") == []
    assert model.search([{"light": None}], GALLERY) == []


def test_the_same_kind_of_table(model: Predictor, tmp_path: Path) -> None:
    asked = [{"light": row["light"]} for row in rows(3)]
    frame = pd.DataFrame(asked, index=[7, 8, 9])
    plain = model.search(asked, GALLERY, k=2)
    as_frame = model.search(frame, pd.DataFrame(GALLERY), k=2)
    assert as_frame.to_dict("records") == plain
    as_arrow = model.search(pa.Table.from_pylist(asked), pa.Table.from_pylist(GALLERY), k=2)
    assert as_arrow.to_pylist() == plain
    pd.DataFrame(GALLERY).to_csv(tmp_path / "gallery.csv", index=False)
    from_file = model.search(asked, tmp_path / "gallery.csv", k=2)
    assert [one["match"] for one in from_file] == [1 + one["match"] for one in plain]  # the header is line 1


def test_what_can_not_be_searched_is_said(model: Predictor) -> None:
    lights = [{"light": [0.0, 0.0, 0.0]}]
    with pytest.raises(SpecError, match=r"has both 'light' and 'words'; say which counts by `of`"):
        model.index(rows())
    with pytest.raises(SpecError, match="say which counts by `of`"):
        model.search(rows(2), rows())
    with pytest.raises(DataError, match=r"neither 'light' nor 'words'; expected a column 'light' or 'words'"):
        model.search(lights, [{"colour": "red"}])
    with pytest.raises(DataError, match=r"'words' is read from 'words', and there is no such column"):
        model.search(lights, GALLERY, by="words")
    with pytest.raises(SpecError, match=r"'word' is not one of the two inputs.*did you mean 'words'"):
        model.index(GALLERY, of="word")
    with pytest.raises(SpecError, match=r"'mach' is not a matching task of this model; did you mean 'match'"):
        model.search(lights, GALLERY, task="mach")
    with pytest.raises(SpecError, match="at least 1; found 0"):
        model.search(lights, GALLERY, k=0)


def test_a_model_that_matches_nothing(tmp_path: Path) -> None:
    experiment = {"data": rows(), "inputs": {"light": "vector"}, "tasks": {"price": "regression"}}
    model = motet.fit(experiment | {"training": {"epochs": 1}}, out=tmp_path / "run").model
    with pytest.raises(SpecError, match="needs a task of kind matching: this model has none"):
        model.search([{"light": [0.0, 0.0, 0.0]}], rows())
