"""Ranking: pairs and lists within groups, discounted gain as scikit-learn has it, and what a drawn row means."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score
from torch import Tensor

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.tasks import Ranking, RankingCodec
from motet.tasks.ranking import listwise, ndcg, pairwise

CODEC = RankingCodec()
NDCG = CODEC.metrics()[0]


def target_of(rows: list[list[object]]) -> Tensor:
    return CODEC.batch([CODEC.read(row) for row in rows])["target"]


def drawn(num_rows: int = 40, num_groups: int = 7, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Scores, relevances and groups, the scores with ties."""
    chance = np.random.default_rng(seed)
    score = torch.from_numpy(chance.integers(0, 6, num_rows) / 2)
    return (
        score,
        torch.from_numpy(chance.integers(0, 4, num_rows).astype(float)),
        torch.from_numpy(chance.integers(0, num_groups, num_rows).astype(float)),
    )


def rows_of(group: Tensor, one: float) -> list[int]:
    return [row for row, value in enumerate(group.tolist()) if value == one]


# --- losses


def test_two_pairs_by_hand() -> None:
    """Of relevances 2, 1, 1 there are two pairs, (0, 1) and (0, 2); their differences are 1 and -1."""
    loss = pairwise(torch.tensor([1.0, 0.0, 2.0]), torch.tensor([2.0, 1.0, 1.0]), torch.zeros(3))
    expected = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1))) / 2
    assert loss.tolist() == pytest.approx([expected] * 3)


def test_a_list_by_hand() -> None:
    """p = (e, 1) / (e + 1) and q = (1/2, 1/2)."""
    p = math.e / (math.e + 1)
    expected = p * math.log(2 * p) + (1 - p) * math.log(2 * (1 - p))
    loss = listwise(torch.zeros(2), torch.tensor([1.0, 0.0]), torch.ones(2))
    assert loss.tolist() == pytest.approx([expected] * 2)


def test_pairs_are_those_of_the_paper() -> None:
    """With P(i before j) = 1 / (1 + exp(-(s_i - s_j))), the cross-entropy of each pair in order, looped over."""
    score, relevance, group = drawn()
    expected = torch.zeros(len(score), dtype=torch.float64)
    for one in group.unique().tolist():
        rows = rows_of(group, one)
        losses = [
            -math.log(1 / (1 + math.exp(-float(score[i] - score[j]))))
            for i in rows
            for j in rows
            if relevance[i] > relevance[j]
        ]
        expected[rows] = sum(losses) / len(losses) if losses else 0.0
    torch.testing.assert_close(pairwise(score, relevance, group), expected)


def test_lists_are_those_of_the_paper() -> None:
    """The cross-entropy of the probabilities of coming first, less the entropy of those that are wanted."""
    score, relevance, group = drawn()
    expected = torch.zeros(len(score), dtype=torch.float64)
    for one in group.unique().tolist():
        rows = rows_of(group, one)
        wanted = [math.exp(relevance[i]) / sum(math.exp(relevance[j]) for j in rows) for i in rows]
        found = [math.exp(score[i]) / sum(math.exp(score[j]) for j in rows) for i in rows]
        cross = -sum(p * math.log(q) for p, q in zip(wanted, found, strict=True))
        expected[rows] = cross + sum(p * math.log(p) for p in wanted)
    torch.testing.assert_close(listwise(score, relevance, group), expected)


@pytest.mark.parametrize("loss", [pairwise, listwise])
@given(seed=st.integers(0, 10_000), shift=st.floats(-5, 5))
@settings(max_examples=25, deadline=None)
def test_only_differences_within_a_group_count(loss, seed: int, shift: float) -> None:
    score, relevance, group = drawn(seed=seed)
    before = loss(score, relevance, group)
    assert bool((before >= -1e-9).all())
    shifted = torch.where(group == group[0], score + shift, score)
    torch.testing.assert_close(loss(shifted, relevance, group), before)
    turn = torch.from_numpy(np.random.default_rng(seed).permutation(len(score)))
    torch.testing.assert_close(loss(score[turn], relevance[turn], group[turn]), before[turn])
    own = group == group[0]
    torch.testing.assert_close(loss(score[own], relevance[own], group[own]), before[own])


@pytest.mark.parametrize("over", ["pairs", "lists"])
def test_a_row_alone_loses_nothing_and_learns_nothing(over: str) -> None:
    task = Ranking(over=over)
    output = torch.tensor([3.0, -2.0, 1.0, 9.0], requires_grad=True)
    target = target_of([[1, "a"], [0, "b"], [2, "c"], [0, "c"]])
    present = torch.tensor([True, True, True, False])  # so that the row of c is alone as well
    loss = task.loss(output, Cells({"target": target}, present))
    assert loss.tolist() == [0.0, 0.0, 0.0, 0.0]
    loss.sum().backward()
    assert output.grad is not None
    assert output.grad.tolist() == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("over", ["pairs", "lists"])
def test_rows_without_any_label_can_be_learned_from(over: str) -> None:
    output = torch.ones(2, requires_grad=True)
    nothing = Cells({"target": torch.full((2, 2), torch.nan)}, torch.zeros(2, dtype=torch.bool))
    Ranking(over=over).loss(output, nothing).sum().backward()
    assert output.grad is not None
    assert output.grad.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("loss", [pairwise, listwise])
def test_extreme_scores_have_finite_losses_and_gradients(loss) -> None:
    score = torch.tensor([1e4, -1e4, 0.0, 5.0], requires_grad=True)
    lost = loss(score, torch.tensor([0.0, 50.0, 1.0, 0.0]), torch.tensor([1.0, 1.0, 1.0, 2.0]))
    lost.sum().backward()
    assert bool(lost.isfinite().all())
    assert score.grad is not None
    assert bool(score.grad.isfinite().all())


@pytest.mark.parametrize("loss", [pairwise, listwise])
def test_gradients_are_those_of_the_values(loss) -> None:
    score, relevance, group = drawn(num_rows=12, num_groups=3)
    assert torch.autograd.gradcheck(lambda one: loss(one, relevance, group), score.requires_grad_())


# --- the metric


def by_scikit_learn(score: np.ndarray, relevance: np.ndarray, group: np.ndarray) -> float:
    """Group by group, on exponential gains; NaN where no group has two rows of different relevance."""
    values = []
    for one in np.unique(group):
        gain, own = 2.0 ** relevance[group == one] - 1, score[group == one]
        if len(set(gain)) > 1:
            values.append(ndcg_score(gain[None], own[None], ignore_ties=False))
    return float(np.mean(values)) if values else math.nan


@given(seed=st.integers(0, 10_000), num_rows=st.integers(1, 60), num_groups=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_the_discounted_gain_is_that_of_scikit_learn(seed: int, num_rows: int, num_groups: int) -> None:
    score, relevance, group = drawn(num_rows, num_groups, seed)
    found = NDCG.compute(score, torch.stack([relevance, group], dim=1))
    expected = by_scikit_learn(score.numpy(), relevance.numpy(), group.numpy())
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_discounted_gain_by_hand() -> None:
    """Relevances 3, 0, 1 in the order 1, 3, 2: gains 1 and 7 at places 1 and 2; a second group has nothing relevant."""
    values, first = ndcg(np.array([2.0, 0.0, 5.0, 9.0]), np.array([3.0, 0.0, 1.0, 0.0]), np.array([4.0, 4.0, 4.0, 8.0]))
    best = 7 + 1 / math.log2(3)
    assert values[0] == pytest.approx((1 + 7 / math.log2(3)) / best)
    assert math.isnan(values[1])
    assert first.tolist() == [0, 3]


def test_scores_that_do_not_exist() -> None:
    nothing = target_of([[0, "a"], [0, "b"]])
    assert math.isnan(NDCG.compute(torch.tensor([1.0, 2.0]), nothing))
    assert math.isnan(NDCG.compute(torch.empty(0), torch.empty(0, 2)))
    alike = target_of([[1, "a"], [1, "a"], [3, "b"]])  # every order is the best
    assert math.isnan(NDCG.compute(torch.tensor([1.0, 2.0, 0.0]), alike))
    some = target_of([[1, "a"], [0, "a"]])
    assert math.isnan(NDCG.compute(torch.tensor([1.0, torch.inf]), some))


def test_who_draws_rows_draws_groups() -> None:
    """A group counts as often as its first row is drawn, whole; its other rows change nothing."""
    target = target_of([[1, "a"], [0, "a"], [0, "b"], [1, "b"], [0, "c"]])
    output = torch.tensor([1.0, 0.0, 1.0, 0.0, 3.0])
    last = 1 / math.log2(3)  # what b scores; c has nothing relevant
    score = NDCG.of_rows(output, target)
    assert score(torch.arange(5)) == pytest.approx(NDCG.compute(output, target)) == pytest.approx((1 + last) / 2)
    assert score(torch.tensor([0, 2, 2, 1, 3, 4])) == pytest.approx((1 + 2 * last) / 3)
    assert score(torch.tensor([2, 3, 3])) == pytest.approx(last)
    assert math.isnan(score(torch.tensor([1, 3, 4])))


def test_the_interval_holds_the_mean_of_other_groups() -> None:
    """Half of all groups score 1; an interval over rows, which are alike within a group, would be too narrow."""
    from motet.evaluation import score

    inside = 0
    for seed in range(60):
        chance = np.random.default_rng(seed)
        good = chance.random(60) < 0.5  # half of all groups are in order, the others the other way round
        rows = [[relevance, f"{group}"] for group in range(60) for relevance in (1, 0)]
        output = torch.tensor([value for one in good for value in ((1.0, 0.0) if one else (0.0, 1.0))])
        found = score(CODEC, output, target_of(rows), seed=seed)["ndcg"]
        inside += found.low <= (1 + 1 / math.log2(3)) / 2 <= found.high
    assert 51 <= inside <= 60  # 95 % of 60 are 57; 51 or fewer happen once in 200


# --- labels


def test_groups_are_told_apart_by_their_text() -> None:
    names = [f"query {number}" for number in range(2000)]
    groups = {float(CODEC.read([1, name])[1]) for name in names}
    assert len(groups) == 2000
    assert all(group == int(group) and 0 <= group < 2**52 for group in groups)
    assert CODEC.read([1, 7])[1] == CODEC.read([1, 7.0])[1] == CODEC.read([1, "7"])[1]
    assert CODEC.read([1, "boats"])[1] == 3610511423486082.0  # the same on every machine, in every version


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ([-1, "a"], "not from 0 to 50"),
        ([51, "a"], "not from 0 to 50"),
        (["high", "a"], "not a number"),
        ([1, None], "a label is"),
        ([1], "two values"),
        ("1", "two values"),
    ],
)
def test_what_is_no_label_is_refused(cell: object, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        CODEC.read(cell)


def test_groups_without_a_difference_teach_nothing() -> None:
    with pytest.raises(DataError, match="in each of the 2 groups"):
        Ranking().fit([[1, "a"], [0, "b"], [1, "a"]])
    with pytest.raises(DataError, match="a relevance and a group"):
        Ranking().fit([["good", "a"]])


def test_rows_of_a_group_have_to_meet() -> None:
    task = Ranking(group="query")
    assert (task.batched_by, task.beside, task.whole_batch) == ("query", ("group",), True)
