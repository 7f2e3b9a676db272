"""Rankings, differences and recommendations, on outputs made by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from compared import finished
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import r2_score, roc_auc_score

from motet.evaluation.interval import Resampling
from motet.study.compare.candidate import Finished, Read, differs, task_differs
from motet.study.compare.chance import mean_rank, over_seeds, ranks
from motet.study.compare.rank import Ranked, recommendation
from motet.study.compare.scores import drawn_rows, mean_gains, task_scores
from motet.study.compare.words import summary

ROWS = 300
COSTS = {
    "plain": {"parameters": 100, "ms_per_step": 1.0},
    "sharp": {"parameters": 300, "ms_per_step": 2.0},
    "twin": {"parameters": 100, "ms_per_step": 0.5},
}


def runs(noise: dict[str, float], *, seeds: int = 3, rows: int = ROWS) -> Read:
    """By candidate, models that know the truth but for noise of this size, their own for each seed."""
    chance = np.random.default_rng(0)
    sold = (chance.random(rows) < 0.5).astype(np.float32)
    price = chance.normal(size=rows)
    made = {}
    for name, size in noise.items():
        made[name] = {
            seed: (
                finished(
                    {
                        "sold": (2 * sold - 1 + size * chance.normal(size=rows)).astype(np.float32),
                        "price": (price + size * chance.normal(size=rows))[:, None].astype(np.float32),
                    },
                    {"sold": sold, "price": price[:, None].astype(np.float32)},
                    name=f"{name}-{seed}",
                ),
            )
            for seed in range(seeds)
        }
    first = next(iter(made.values()))[0][0]
    return Read(runs=made, first=first)


def ranked_of(read: Read, *, resamples: int = 100) -> Ranked:
    names = list(read.runs)
    seeds = sorted({seed for own in read.runs.values() for seed in own})
    assert read.first is not None
    drawn = drawn_rows(len(read.first.outputs.rows), read.first.outputs.groups, seed=0, resamples=resamples)
    tasks = {
        task: scores
        for task in ("price", "sold")
        if (scores := task_scores(read, task, candidates=names, seeds=seeds, drawn=drawn)) is not None
    }
    return Ranked(tuple(names), tasks, 0, 0.95)


def advice(ranked: Ranked) -> dict[str, Any]:
    return recommendation(ranked, ranked.overall()["ranking"], COSTS)


def test_a_candidate_that_is_really_better_is_recommended() -> None:
    ranked = ranked_of(runs({"plain": 1.2, "sharp": 0.6, "twin": 1.2}))
    found = advice(ranked)
    assert found["candidate"] == "sharp"
    assert found["contenders"] == ["sharp"]
    ranking = ranked.task("sold")["ranking"]
    assert ranking[0]["candidate"] == "sharp"
    assert ranking[0]["to_best"] is None
    assert ranking[1]["to_best"]["high"] < 0
    assert ranking[0]["to_reference"]["low"] > 0
    assert ranked.overall()["ranking"][0]["rank"]["value"] == 1


def test_with_one_seed_a_model_is_best_and_nothing_is_recommended() -> None:
    ranked = ranked_of(runs({"plain": 1.2, "sharp": 0.6}, seeds=1))
    found = advice(ranked)
    assert (found["candidate"], found["model"], found["contenders"]) == (None, "sharp", ["sharp"])
    content = {"tasks": {}, "reference": "plain", "recommendation": found, "transfer": None}
    (said,) = summary(content)
    assert said.startswith("sharp is the best of these models, which recommends no variant yet: the mean relative gain")
    assert said.endswith("of one seed this is about these models, and other seeds may say otherwise.")
    assert "is recommended" not in said


def test_seeds_that_only_one_of_two_has_recommend_nothing() -> None:
    read = runs({"plain": 1.2, "sharp": 0.5})
    del read.runs["plain"][0], read.runs["sharp"][2]
    found = advice(ranked_of(read))  # each has two seeds, one of them in common
    assert (found["candidate"], found["model"]) == (None, "sharp")


def test_two_alike_are_not_told_apart_and_the_cheapest_is_named() -> None:
    found = advice(ranked_of(runs({"plain": 1.0, "twin": 1.0})))
    assert found["candidate"] is None
    assert sorted(found["contenders"]) == ["plain", "twin"]
    assert found["cheapest"] == "twin"  # as many parameters, a faster step
    assert "does not tell" in found["reason"]


def test_the_very_same_answers_differ_by_nothing() -> None:
    read = runs({"plain": 1.0})
    read.runs["twin"] = read.runs["plain"]
    one = ranked_of(read).difference("sold", "twin", "plain")
    assert (one.value, one.low, one.high) == (0, 0, 0)


def test_of_those_not_told_apart_the_one_with_fewer_parameters_is_cheapest() -> None:
    found = advice(ranked_of(runs({"sharp": 1.0, "plain": 1.01})))
    assert (found["candidate"], found["cheapest"]) == (None, "plain")


def test_scores_and_draws_are_those_of_the_metric_by_hand() -> None:
    read = runs({"plain": 1.0, "sharp": 0.5}, seeds=2)
    drawn = drawn_rows(ROWS, None, seed=0, resamples=3)
    for task, judge in (("sold", roc_auc_score), ("price", r2_score)):
        scores = task_scores(read, task, candidates=["plain", "sharp"], seeds=[0, 1], drawn=drawn)
        assert scores is not None
        said = read.runs["sharp"][1][0].outputs.tasks[task]
        for number, rows in enumerate(drawn.rows):
            expected = judge(said.target[rows].numpy(), said.output[rows].numpy())
            assert scores.draws[1, 1, number] == pytest.approx(expected, abs=1e-5)
        assert scores.values[1, 1] == pytest.approx(judge(said.target.numpy(), said.output.numpy()), abs=1e-5)


def test_only_labelled_rows_count_and_a_draw_is_the_same_for_all_tasks() -> None:
    chance = np.random.default_rng(1)
    target = (chance.random(40) < 0.5).astype(np.float32)
    labelled = chance.random(40) < 0.5
    right = finished({"sold": 2 * target - 1}, {"sold": target}, labelled={"sold": labelled})
    spoilt = np.where(labelled, 2 * target - 1, 9).astype(np.float32)
    same = finished({"sold": spoilt}, {"sold": target}, labelled={"sold": labelled})
    read = Read(runs={"a": {0: (right,)}, "b": {0: (same,)}}, first=right)
    scores = task_scores(
        read, "sold", candidates=["a", "b"], seeds=[0], drawn=drawn_rows(40, None, seed=0, resamples=5)
    )
    assert scores is not None
    assert scores.rows == labelled.sum()
    np.testing.assert_array_equal(scores.draws[0], scores.draws[1])


def test_the_gain_is_the_way_from_trivial_to_perfect_and_its_mean_is_over_the_tasks() -> None:
    ranked = ranked_of(runs({"plain": 1.0, "sharp": 0.5}, seeds=2))
    counting, values, draws = mean_gains(ranked.tasks)
    auroc, r2 = ranked.tasks["sold"], ranked.tasks["price"]
    assert counting == ["price", "sold"]
    np.testing.assert_allclose(values, ((auroc.values - 0.5) / 0.5 + np.maximum(-1, r2.values)) / 2)
    np.testing.assert_allclose(draws[1, 0], ((auroc.draws[1, 0] - 0.5) / 0.5 + np.maximum(-1, r2.draws[1, 0])) / 2)


def test_groups_are_drawn_whole() -> None:
    groups = torch.tensor([3, 3, 1, 1, 1, 7])
    for rows in drawn_rows(6, groups, seed=0, resamples=20).rows[:20]:
        counts = torch.bincount(rows, minlength=6)
        assert counts[0] == counts[1]
        assert counts[2] == counts[3] == counts[4]
        assert counts[0] + counts[2] + counts[5] == 3


def test_intervals_hold_the_chance_of_the_seeds_too() -> None:
    draws = np.random.default_rng(0).normal(scale=0.01, size=(3, 250))
    rows = Resampling(100, None, 0, 200)
    alike = over_seeds(np.zeros(3), draws, resampling=rows, level=0.95)
    apart = np.array([-0.1, 0.0, 0.1])
    wide = over_seeds(apart, draws + apart[:, None], resampling=rows, level=0.95)
    assert alike.high - alike.low < 0.05
    seeds = 4.303 * 0.1 / 3**0.5  # Student's quantile with 2 degrees of freedom
    assert wide.high == pytest.approx((seeds**2 + alike.high**2) ** 0.5, rel=1e-3)
    some = np.array([[0.4, 0.6], [np.nan, np.nan]])
    assert over_seeds(np.array([0.5, np.nan]), some, resampling=rows, level=0.95).value == 0.5


def test_with_one_seed_the_interval_is_that_of_the_report() -> None:
    draws = np.random.default_rng(0).normal(loc=0.3, scale=0.05, size=220)
    rows = Resampling(20, np.arange(20), 0, 200)
    one = over_seeds(np.array([0.3]), draws[None], resampling=rows, level=0.9)
    assert (one.low, one.high) == pytest.approx(rows.bounds(0.3, draws, level=0.9))


@pytest.mark.parametrize(
    ("num_units", "size", "seeds"), [(60, 1, 3), (10, 1, 3), (10, 5, 1), (20, 5, 1), (5, 5, 1), (5, 1, 3)]
)
def test_intervals_hold_the_truth_as_often_as_they_say(num_units: int, size: int, seeds: int) -> None:
    """Whatever matters more, three seeds or the rows, alone or in few groups with half of the variance."""
    chance = np.random.default_rng(0)
    groups = np.arange(num_units * size) // size
    held = 0
    for seed in range(10):
        rows = Resampling(len(groups), groups, seed, 200)
        drawn = [one.numpy() for one in rows.rows()]
        for _ in range(50):
            scores = chance.normal(size=(1, num_units))[:, groups] + chance.normal(size=(1, len(groups)))
            scores = scores + (chance.normal(scale=0.3, size=(seeds, 1)) if seeds > 1 else 0)
            draws = np.stack([scores[:, one].mean(axis=1) for one in drawn], axis=1)
            one = over_seeds(scores.mean(axis=1), draws, resampling=rows, level=0.95, paired=True)
            held += one.low <= 0 <= one.high
    assert 0.93 <= held / 500 <= 0.99


def test_of_a_mean_rank_no_interval_is_stated() -> None:
    """Three seeds that agree on a place would give an interval of no width."""
    overall = ranked_of(runs({"plain": 1.2, "sharp": 0.4})).overall()["ranking"]
    assert [one["rank"] for one in overall] == [
        {"value": 1, "low": None, "high": None},
        {"value": 2, "low": None, "high": None},
    ]
    assert np.isnan(mean_rank(np.array([[np.nan, 1.0], [1.0, np.nan]])))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=8))
def test_places_are_those_of_scipy(values: list[int]) -> None:
    np.testing.assert_array_equal(ranks(np.array(values, dtype=float)), rankdata([-one for one in values]))


def test_a_candidate_without_a_score_has_no_place() -> None:
    np.testing.assert_array_equal(ranks(np.array([0.5, np.nan, 0.7])), [2, np.nan, 1])


def test_a_missing_seed_narrows_what_is_compared_to_the_common_ones() -> None:
    read = runs({"plain": 1.0, "sharp": 0.5})
    del read.runs["sharp"][0]
    ranked = ranked_of(read)
    entry = {one["candidate"]: one for one in ranked.task("sold")["ranking"]}
    assert (entry["plain"]["seeds"], entry["sharp"]["seeds"]) == (3, 2)
    scores = ranked.tasks["sold"].values
    found = ranked.difference("sold", "sharp", "plain").value
    assert found == pytest.approx((scores[1, 1:] - scores[0, 1:]).mean())
    assert ranked.overall()["ranking"][0]["rank"]["value"] == 1


def test_runs_on_other_rows_are_told_apart() -> None:
    run = next(iter(runs({"plain": 1.0}).runs.values()))[0][0]

    def with_outputs(**changes: Any) -> Finished:
        return replace(run, outputs=replace(run.outputs, **changes))

    assert differs(run, run) is None
    assert "other rows" in str(differs(run, with_outputs(rows=run.outputs.rows + 1)))
    assert "other content" in str(differs(run, with_outputs(table="u")))
    assert "valid rows" in str(differs(run, with_outputs(part="valid")))
    said = run.outputs.tasks["sold"]
    fewer = with_outputs(tasks={"sold": replace(said, labelled=~said.labelled)})
    assert "labels in other rows" in str(task_differs(run, fewer, "sold"))
    other = replace(run, report={"tasks": {"sold": run.report["tasks"]["sold"] | {"primary": "f1"}}})
    assert "by f1" in str(task_differs(run, other, "sold"))


def test_it_is_said_in_words() -> None:
    ranked = ranked_of(runs({"plain": 1.2, "sharp": 0.6, "twin": 1.2}))
    content = {
        "tasks": {"sold": ranked.task("sold")},
        "reference": "plain",
        "recommendation": advice(ranked),
        "transfer": None,
    }
    first, second = summary(content)
    assert first.startswith("sharp is recommended: the mean relative gain of sharp is above every other's")
    assert second.startswith("sold (AUROC): sharp is better than plain by 0.")
    assert second.endswith("; the data does not tell plain and twin apart.")


def test_a_candidate_that_lacks_a_task_has_no_place_and_takes_none_from_the_others() -> None:
    read = runs({"plain": 1.2, "sharp": 0.4, "part": 0.1})
    for seed, (run,) in list(read.runs["part"].items()):
        kept = {"sold": run.outputs.tasks["sold"]}
        read.runs["part"][seed] = (replace(run, outputs=replace(run.outputs, tasks=kept)),)
    ranked = ranked_of(read)
    assert [one["candidate"] for one in ranked.task("sold")["ranking"]] == ["part", "sharp", "plain"]
    assert [one["candidate"] for one in ranked.task("price")["ranking"]] == ["sharp", "plain"]
    overall = ranked.overall()["ranking"]
    assert [(one["candidate"], one["rank"]["value"]) for one in overall] == [("sharp", 1), ("plain", 2)]


def test_what_learning_together_did_is_said() -> None:
    content: dict[str, Any] = {
        "tasks": {"sold": {"metric": "auroc", "ranking": []}, "price": {"metric": "r2", "ranking": []}},
        "reference": "plain",
        "recommendation": {"candidate": "plain", "reason": "it is"},
        "transfer": {
            "single_of": "plain",
            "tasks": {
                "sold": {"plain": {"value": 0.1, "low": 0.05, "high": 0.15}},
                "price": {"plain": {"value": -0.1, "low": -0.3, "high": 0.1}},
            },
        },
    }
    assert summary(content) == [
        "plain is recommended: it is.",
        "Learning the tasks together in plain helped sold by 0.100 [0.050, 0.150]; it shows no effect on price, beside "
        "one model per task.",
    ]
