"""The report in plain sentences: what is claimed, and that nothing is where an interval holds zero."""

from typing import Any

import pytest

from motet.evaluation.words import of_task, sign_of, summary


def bounds(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def task(**more: Any) -> dict[str, Any]:
    metrics = {"r2": bounds(0.71, 0.02) | {"higher_is_better": True}}
    return {"kind": "regression", "primary": "r2", "metrics": metrics, "baseline": {"r2": -0.01}, "rows": 90, **more}


def report(one: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    return {"tasks": {"rating": one}, "inputs": inputs}


def test_a_task_beside_its_baselines_and_without_its_best_input() -> None:
    one = task(baselines={"linear": {"difference": bounds(0.05, 0.03)}})
    inputs = {
        "photo": {"permuted": {"rating": bounds(0.03, 0.01)}},
        "price": {"permuted": {"rating": bounds(0.9, 1.0)}},
    }
    assert of_task("rating", one, inputs) == (
        "good",
        "rating: 0.710 R\N{SUPERSCRIPT TWO}, better than the linear baseline by 0.050 [0.020, 0.080]; "
        "with photo shuffled between rows it would lose 0.030 [0.020, 0.040].",
    )


@pytest.mark.parametrize(
    ("difference", "tone", "said"),
    [
        (bounds(0.05, 0.03), "good", "better than the baseline of boosted trees by 0.050 [0.020, 0.080]"),
        (bounds(-0.05, 0.03), "bad", "worse than the baseline of boosted trees by 0.050 [0.020, 0.080]"),
        (bounds(0.05, 0.06), "even", "not clearly better than the baseline of boosted trees."),
        ({"value": None, "low": None, "high": None}, "", "rating: 0.710 R\N{SUPERSCRIPT TWO}."),
        (None, "", "rating: 0.710 R\N{SUPERSCRIPT TWO}."),
    ],
)
def test_a_difference_is_claimed_where_its_interval_leaves_zero_out(difference: Any, tone: str, said: str) -> None:
    found = of_task("rating", task(baselines={"trees": {"difference": difference}}), {})
    assert found[0] == tone
    assert said in found[1]


def test_without_other_baselines_the_trivial_one_is_named() -> None:
    assert of_task("rating", task(), {})[1].endswith("better than one answer for all rows (\N{MINUS SIGN}0.010).")


@pytest.mark.parametrize(
    ("single", "said"),
    [
        ({"relative": bounds(0.031, 0.008)}, "Sharing helped rating by 3.1% \N{PLUS-MINUS SIGN} 0.8, hurt nothing"),
        ({"relative": bounds(-0.031, 0.008)}, "Sharing hurt rating by 3.1% \N{PLUS-MINUS SIGN} 0.8."),
        ({"relative": bounds(0.004, 0.008)}, "Sharing neither helped nor hurt any task that it shows."),
        ({"difference": bounds(0.02, 0.01)}, "Sharing helped rating by 0.020 [0.010, 0.030], hurt nothing"),
    ],
)
def test_what_sharing_did(single: dict[str, Any], said: str) -> None:
    assert [words for _, words in summary(report(task(single_task=single))) if words.startswith(said)]


@pytest.mark.parametrize("single", [None, {}, {"relative": None}])
def test_nothing_is_said_of_sharing_that_was_not_tried(single: Any) -> None:
    assert not [words for _, words in summary(report(task(single_task=single))) if "haring" in words]


def test_an_input_that_no_task_gains_from_is_named() -> None:
    inputs = {"a": {"contribution": {"rating": bounds(0.1, 0.2)}}, "b": {"contribution": {"rating": bounds(0.3, 0.1)}}}
    said = [words for _, words in summary(report(task(), **inputs))]
    assert "No task gains anything that shows from a." in said
    assert "; b brings 0.300 [0.200, 0.400]." in said[0]


def test_slices_coverage_and_suspects_are_doubts() -> None:
    one = task(
        slices=[{"where": [["city", "Rome"]], "rows": 60, "metric": bounds(0.4, 0.1), "difference": bounds(-0.3, 0.1)}],
        coverage={"stated": 0.9, "found": bounds(0.84, 0.02), "size": 1.0, "kind": "interval"},
        suspects=[{}, {}],
    )
    said = [words for _, words in summary(report(one))][1:]
    assert said == [
        "Worst: rating where city is Rome (0.400 R\N{SUPERSCRIPT TWO} on 60 rows).",
        "rating: intervals stated to hold the truth in 90% of rows do in 84% [82%, 86%].",
        "Labels suspected to be wrong, worth a look: 2 in rating.",
    ]
    calm = task(
        slices=[{"where": [["city", "Rome"]], "rows": 60, "metric": bounds(0.4, 0.1), "difference": bounds(-0.3, 0.4)}],
        coverage={"stated": 0.9, "found": bounds(0.89, 0.02), "size": 1.0, "kind": "interval"},
    )
    assert len(summary(report(calm))) == 1


def test_the_sign_of_an_interval() -> None:
    assert [sign_of(bounds(*one)) for one in ((0.2, 0.1), (-0.2, 0.1), (0.1, 0.1))] == [1, -1, 0]
    assert [sign_of(one) for one in (None, {"value": 1.0, "low": None, "high": None})] == [0, 0]
