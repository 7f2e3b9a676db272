"""What each input adds to one answer: against every order written out, sums, absent inputs, columns and files."""

import json
import math
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import motet
from motet.cli import app
from motet.core.errors import DataError, SpecError
from motet.data import read_held_out
from motet.model.explain_orders import MOST_EXACT, orders_of
from motet.serving import Predictor

INPUTS = ("age", "colour", "note", "size")
TASKS = ("grade", "kind", "parts", "price", "sold", "tags", "visits")


def rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        {
            "age": None if index % 7 == 3 else float(rng.normal()),
            "colour": None if index % 5 == 2 else ("red", "blue", "green")[index % 3],
            "note": None if index % 4 == 1 else ("good one", "bad one")[index % 2],
            "size": None if index % 11 == 5 else float(rng.normal()),
            "sold": ("no", "yes")[index % 2],
            "kind": "abc"[index % 3],
            "grade": index % 4,
            "price": float(rng.normal(100, 10)),
            "parts": [float(rng.normal()), 1.0 * index],
            "tags": ["a|b", "b", "a"][index % 3],
            "visits": index % 6,
        }
        for index in range(60)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explained")
    experiment = {
        "data": {"train": rows(), "valid": 0.4},
        "inputs": {
            "age": "number", "colour": "category", "size": "number",
            "note": {"kind": "text", "vocabulary": 260, "width": 4, "encoder": "tfidf"},
        },
        "tasks": {
            "sold": "binary", "kind": "multiclass", "grade": "ordinal", "price": "regression", "parts": "regression",
            "tags": "multilabel", "visits": "count",
        },
        "fusion": {"kind": "gated", "width": 8},
        "training": {"epochs": 2, "learning_rate": 0.03},
    }  # fmt: skip
    motet.fit(experiment, out=folder / "run")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Predictor:
    return motet.load(folder / "run")


@pytest.fixture(scope="module")
def explained(model: Predictor) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = model.predict(rows(), explain=True)
    return found


def spoken(model: Predictor, asked: list[dict[str, Any]], task: str, answer: Any) -> list[float]:
    """The number that speaks for an answer, read off what is predicted of each of these rows."""
    said = model.predict(asked)
    if task in ("price", "visits"):
        return [float(one[task]) for one in said]
    if task == "sold":
        yes = [float(one["sold__probability"]) for one in said]
        return yes if answer == "yes" else [1 - p for p in yes]
    codec: Any = model.tasks[task][1]
    outputs = (model.collected(read_held_out(asked)).outputs[task].double() / codec.temperature).tolist()
    if task == "tags":
        each = [[1 / (1 + math.exp(-value)) for value in output] for output in outputs]
        signs = [label in answer for label in codec.known]
        return [sum(p if yes else 1 - p for p, yes in zip(row, signs, strict=True)) / len(signs) for row in each]
    number = list(codec.known).index(answer)
    if task == "grade":
        return [
            at_most(output, number, codec.temperature) - at_most(output, number - 1, codec.temperature)
            for output in outputs
        ]
    return [math.exp(output[number]) / sum(map(math.exp, output)) for output in outputs]


def at_most(tempered: list[float], level: int, temperature: float) -> float:
    """P(y <= level): the log odds of it are those of the softmax, divided by the temperature."""
    if not 0 <= level < len(tempered) - 1:
        return float(level >= 0)
    weights = [math.exp(temperature * one) for one in tempered]
    odds = math.log(sum(weights[: level + 1]) / sum(weights[level + 1 :])) / temperature
    return 1 / (1 + math.exp(-odds))


@pytest.mark.parametrize("place", [0, 2, 5])
def test_the_mean_over_every_order(model: Predictor, explained: list[dict[str, Any]], place: int) -> None:
    given = rows()[place]
    present = [name for name in INPUTS if given[name] is not None]
    assert len(present) == {0: 4, 2: 3, 5: 2}[place]
    sets = sorted({frozenset(order[:count]) for order in permutations(present) for count in range(5)}, key=sorted)
    asked = [{name: given[name] if name in kept else None for name in INPUTS} for kept in sets]
    for task in (task for task in TASKS if task != "parts"):
        value = dict(zip(sets, spoken(model, asked, task, explained[place][task]), strict=True))
        for name in INPUTS:
            gains = []
            for order in permutations(present) if name in present else ():
                before = frozenset(order[: order.index(name)])
                gains.append(value[before | {name}] - value[before])
            expected = pytest.approx(sum(gains) / len(gains), abs=1e-4 if task == "price" else 1e-5) if gains else None
            assert explained[place][f"{task}__contribution_{name}"] == expected, (task, name)


def test_they_sum_to_all_less_none(model: Predictor, explained: list[dict[str, Any]]) -> None:
    nothing = model.predict([dict.fromkeys(INPUTS)])[0]
    moved = 0.0
    for answer in explained:
        total = sum(answer[f"price__contribution_{name}"] or 0 for name in INPUTS)
        assert total == pytest.approx(answer["price"] - nothing["price"], abs=1e-3)
        yes = answer["sold"] == "yes"
        total = sum(answer[f"sold__contribution_{name}"] or 0 for name in INPUTS)
        gain = answer["sold__probability"] - nothing["sold__probability"]
        assert total == pytest.approx(gain if yes else -gain, abs=1e-5)
        moved = max(moved, abs(gain))
    assert moved > 0.02, "nothing was learnt, so nothing is shown"


def test_columns(explained: list[dict[str, Any]]) -> None:
    names = list(explained[0])
    for task in TASKS:
        own = [name for name in names if name.startswith(f"{task}__contribution_")]
        assert own == ([] if task == "parts" else [f"{task}__contribution_{name}" for name in INPUTS])
    assert names.index("kind__contribution_age") == names.index("kind__set") + 1
    for given, answer in zip(rows(), explained, strict=True):
        for name in INPUTS:
            assert (answer[f"kind__contribution_{name}"] is None) == (given[name] is None)


def test_a_row_is_alone_and_the_rest_is_as_ever(model: Predictor, explained: list[dict[str, Any]]) -> None:
    plain = model.predict(rows())
    assert [{name: answer[name] for name in plain[0]} for answer in explained] == plain
    for place in (3, 8):
        alone = model.predict([rows()[place]], explain=True)[0]
        for name, value in alone.items():
            if "contribution" in name:
                assert value == (None if value is None else pytest.approx(explained[place][name], abs=1e-4))


def test_inputs_are_encoded_once(model: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    encoder = model.network.encoders["age"].encoder
    handle = encoder.register_forward_hook(lambda module, given, tokens: calls.append(len(tokens.present)))
    model.predict(rows(), explain=True)
    handle.remove()
    assert calls == [sum(row["age"] is not None for row in rows())]


def test_a_column_that_is_not_there_is_absent(model: Predictor) -> None:
    answer = model.predict([{"age": 1.0}], explain=True)[0]
    assert answer["kind__contribution_colour"] is None
    assert answer["kind__contribution_age"] is not None
    nothing = model.predict([{"age": None}], explain=True)[0]
    assert all(nothing[f"kind__contribution_{name}"] is None for name in INPUTS)


def test_more_inputs_than_are_counted_out_are_sampled() -> None:
    num = MOST_EXACT + 3
    subsets, weights = orders_of(num)
    assert len(subsets) <= 32 * (num - 1) + 2
    assert len({tuple(one) for one in subsets.tolist()}) == len(subsets)
    rng = np.random.default_rng(0)
    value = rng.normal(size=len(subsets))
    whole, nothing = value[subsets.all(axis=1)], value[~subsets.any(axis=1)]
    np.testing.assert_allclose((value @ weights).sum(), whole - nothing, atol=1e-12)
    additive = rng.normal(size=num)
    np.testing.assert_allclose((subsets @ additive) @ weights, additive, atol=1e-12)
    pair = (subsets[:, 0] & subsets[:, 1]).astype(float)  # antithetic orders give just a half each
    np.testing.assert_allclose((pair @ weights)[:2], [0.5, 0.5], atol=1e-12)


def test_exact_weights_are_those_of_the_formula() -> None:
    for num in range(MOST_EXACT + 1):
        subsets, weights = orders_of(num)
        assert len(subsets) == 2**num
        value = np.random.default_rng(num).normal(size=2**num)
        known = {tuple(one): v for one, v in zip(subsets.tolist(), value, strict=True)}
        for name in range(num if num <= 4 else 0):
            gains = []
            for order in permutations(range(num)):
                before = order[: order.index(name)]
                sets = [tuple(one in kept for one in range(num)) for kept in (before, (*before, name))]
                gains.append(known[sets[1]] - known[sets[0]])
            assert (value @ weights)[name] == pytest.approx(np.mean(gains))


def test_explain_of_one_row(model: Predictor, explained: list[dict[str, Any]]) -> None:
    given = {name: value for name, value in rows()[0].items() if name in INPUTS}
    found = model.explain(given)
    assert set(found.contributions) == set(TASKS)
    assert found.contributions["parts"] is None
    assert found.answers["sold"] == explained[0]["sold"]
    sold = found.contributions["sold"]
    assert sold is not None
    assert set(sold) == {name for name in INPUTS if given[name] is not None}
    assert sold["age"] == pytest.approx(explained[0]["sold__contribution_age"], abs=1e-5)
    one = model.explain(pd.DataFrame([given]), "price")
    assert set(one.contributions) == set(one.saliency) == {"price"}
    assert all(name.startswith("price") for name in one.answers)
    plain = json.loads(found.to_json())
    assert set(plain) == {"answers", "contributions", "saliency"}
    assert "".join(text for text, _ in plain["saliency"]["sold"]["note"]["pieces"]) == given["note"]
    with pytest.raises(SpecError, match="did you mean 'price'"):
        model.explain(given, "prise")
    with pytest.raises(DataError, match="2 rows"):
        model.explain([given, given])


def test_the_command(folder: Path) -> None:
    pd.DataFrame(rows()).drop(columns=list(TASKS)).to_csv(folder / "new.csv", index=False)
    where = ["predict", str(folder / "run"), "--data", str(folder / "new.csv"), "-o", str(folder / "out.csv")]
    done = CliRunner().invoke(app, [*where, "--explain"])
    assert done.exit_code == 0, done.output
    table = pd.read_csv(folder / "out.csv")
    assert table["kind__contribution_colour"].isna().tolist() == [row["colour"] is None for row in rows()]
