"""Survival: Cox's likelihood with ties, Breslow's hazard, Harrell's concordance, each against what is written out."""

import math
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.tasks import Survival, SurvivalCodec
from motet.tasks.survival import Baseline, concordance, partial_likelihood

Ties = Literal["efron", "breslow"]
BOTH: tuple[Ties, Ties] = ("efron", "breslow")


def drawn(num_rows: int, seed: int, *, num_times: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log hazards, times with ties, and events."""
    chance = np.random.default_rng(seed)
    return (
        chance.normal(size=num_rows).round(1),
        chance.integers(1, num_times + 1, num_rows).astype(float),
        chance.random(num_rows) < 0.6,
    )


def tensors(*arrays: np.ndarray) -> list[Tensor]:
    return [torch.from_numpy(one) for one in arrays]


# --- the likelihood


def test_two_ties_by_hand() -> None:
    """Hazards 1, 2, 3 and 4; at time 1 it happens to the first two, at 2 to the third; the last is seen until 2."""
    hazard = torch.tensor([1.0, 2.0, 3.0, 4.0]).log()
    time, event = torch.tensor([1.0, 1.0, 2.0, 2.0]), torch.tensor([True, True, True, False])
    breslow = partial_likelihood(hazard, time, event, ties="breslow")
    assert breslow.exp().tolist() == pytest.approx([10 / 1, 10 / 2, 7 / 3, 1])
    efron = partial_likelihood(hazard, time, event, ties="efron").exp()
    mean = math.sqrt(10 * (10 - 3 / 2))  # of the logarithms
    assert efron.tolist() == pytest.approx([mean / 1, mean / 2, 7 / 3, 1])


@pytest.mark.parametrize("ties", BOTH)
@given(seed=st.integers(0, 10_000), num_rows=st.integers(1, 30))
@settings(max_examples=40, deadline=None)
def test_the_likelihood_is_that_of_the_papers(ties: Ties, seed: int, num_rows: int) -> None:
    hazard, time, event = drawn(num_rows, seed)
    expected = 0.0
    for t in np.unique(time[event]):
        at_risk = sum(math.exp(h) for h, seen in zip(hazard, time, strict=True) if seen >= t)
        dying = [math.exp(h) for h, seen, e in zip(hazard, time, event, strict=True) if e and seen == t]
        for number, one in enumerate(dying):
            taken = number / len(dying) * sum(dying) if ties == "efron" else 0.0
            expected += math.log(at_risk - taken) - math.log(one)
    found = partial_likelihood(*tensors(hazard, time, event), ties=ties)
    assert float(found.sum()) == pytest.approx(expected, abs=1e-9)
    assert bool((found[torch.from_numpy(~event)] == 0).all())
    turn = np.random.default_rng(seed).permutation(num_rows)
    again = partial_likelihood(*tensors(hazard[turn], time[turn], event[turn]), ties=ties)
    torch.testing.assert_close(again, found[torch.from_numpy(turn)])


def test_without_ties_both_forms_are_one() -> None:
    hazard, _, event = drawn(20, 0)
    time = np.random.default_rng(1).permutation(20).astype(float)
    one, other = (partial_likelihood(*tensors(hazard, time, event), ties=ties) for ties in BOTH)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("ties", BOTH)
def test_only_the_order_of_times_and_the_differences_of_hazards_count(ties: Ties) -> None:
    hazard, time, event = drawn(25, 3)
    before = partial_likelihood(*tensors(hazard, time, event), ties=ties)
    after = partial_likelihood(*tensors(hazard + 7, time**3, event), ties=ties)
    torch.testing.assert_close(after, before)


@pytest.mark.parametrize("ties", BOTH)
def test_gradients_are_those_of_the_values(ties: Ties) -> None:
    hazard, time, event = tensors(*drawn(12, 5))
    assert torch.autograd.gradcheck(
        lambda one: partial_likelihood(one, time, event, ties=ties), hazard.requires_grad_()
    )


@pytest.mark.parametrize("ties", BOTH)
def test_extreme_hazards_have_finite_losses_and_gradients(ties: Ties) -> None:
    hazard = torch.tensor([1e4, -1e4, 1e4, 0.0, -1e4], requires_grad=True)
    time, event = torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0]), torch.tensor([True, True, True, True, True])
    lost = partial_likelihood(hazard, time, event, ties=ties)
    lost.sum().backward()
    assert bool(lost.isfinite().all())
    assert hazard.grad is not None
    assert bool(hazard.grad.isfinite().all())


@pytest.mark.parametrize("ties", BOTH)
def test_batches_without_an_event_or_a_label_can_be_learned_from(ties: Ties) -> None:
    task, output = Survival(ties=ties), torch.ones(3, requires_grad=True)
    seen = torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    for target, present in ((seen, True), (torch.full_like(seen, torch.nan), False)):
        loss = task.loss(output, Cells({"target": target}, torch.full((3,), present)))
        loss.sum().backward()
        assert loss.tolist() == [0.0, 0.0, 0.0]
        assert output.grad is not None
        assert output.grad.tolist() == [0.0, 0.0, 0.0]


# --- a linear model


def newton(x: np.ndarray, time: np.ndarray, event: np.ndarray, ties: Ties) -> np.ndarray:
    """Cox regression as a textbook has it: the score and the information of every event, and Newton's steps."""
    slope = np.zeros(x.shape[1])
    for _ in range(30):
        score, information = np.zeros_like(slope), np.zeros((len(slope), len(slope)))
        hazard = np.exp(x @ slope)
        for t in np.unique(time[event]):
            at_risk, dying = time >= t, event & (time == t)
            score += x[dying].sum(axis=0)
            for number in range(dying.sum()):
                taken = number / dying.sum() if ties == "efron" else 0.0
                weight = hazard * (at_risk - taken * dying)
                mean = weight @ x / weight.sum()
                score -= mean
                information += (x.T * weight) @ x / weight.sum() - np.outer(mean, mean)
        step = np.linalg.solve(information, score)
        slope = slope + step
        if np.abs(step).max() < 1e-12:
            return slope
    raise AssertionError("Newton's steps do not end")


def fitted(x: np.ndarray, time: np.ndarray, event: np.ndarray, ties: Ties) -> np.ndarray:
    """The slope that has the least loss of ours."""
    rows, label = torch.from_numpy(x), torch.from_numpy(time)
    slope = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [slope], max_iter=500, tolerance_grad=1e-10, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        search.zero_grad()
        lost = partial_likelihood(rows @ slope, label, torch.from_numpy(event), ties=ties).mean()
        lost.backward()
        return lost

    search.step(loss)
    return slope.detach().numpy()


def proportional(num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, log hazards, and exponential times of rate `exp(h)`, a third of them not seen to the end."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(num_rows, 3))
    hazard = x @ np.array([1.0, -0.5, 0.0])
    died, left = chance.exponential(size=num_rows) / np.exp(hazard), chance.exponential(size=num_rows) * 2.0
    return x, hazard, np.minimum(died, left), died <= left


@pytest.mark.parametrize("ties", BOTH)
@pytest.mark.parametrize("digits", [6, 0])
def test_a_linear_model_is_that_of_newton(ties: Ties, digits: int) -> None:
    x, _, time, event = proportional(150, 0)
    time = (4 * time).round(digits) + 1  # without digits there are many ties
    expected = newton(x, time, event, ties)
    np.testing.assert_allclose(fitted(x, time, event, ties), expected, atol=1e-5)


def test_the_slope_of_simulated_hazards_is_found_again() -> None:
    x, hazard, time, event = proportional(4000, 1)
    slope = fitted(x, time, event, "efron")
    np.testing.assert_allclose(slope, [1.0, -0.5, 0.0], atol=0.08)
    assert concordance(x @ slope, time, event) == pytest.approx(concordance(hazard, time, event), abs=0.002)


# --- concordance


def looped(risk: np.ndarray, time: np.ndarray, event: np.ndarray) -> float:
    known = right = 0.0
    for i in range(len(risk)):
        for j in range(len(risk)):
            if event[i] and (time[i] < time[j] or (time[i] == time[j] and not event[j])):
                known += 1
                right += 1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0
    return right / known if known else math.nan


@given(seed=st.integers(0, 10_000), num_rows=st.integers(1, 40), num_times=st.integers(1, 30))
@settings(max_examples=80, deadline=None)
def test_concordance_is_that_of_all_pairs(seed: int, num_rows: int, num_times: int) -> None:
    risk, time, event = drawn(num_rows, seed, num_times=num_times)
    risk = (2 * risk).round()  # ties here, too
    found, expected = concordance(risk, time, event), looped(risk, time, event)
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert concordance(-risk, time, event) == pytest.approx(1 - expected, abs=1e-12, nan_ok=True)


def test_pairs_at_one_time_by_hand() -> None:
    """Two events at one time are no pair; an event beside one last seen then is; an equal risk is half right."""
    time = np.array([1.0, 1.0, 1.0, 2.0])
    event = np.array([True, True, False, True])
    # pairs: (0, 2), (1, 2), (0, 3), (1, 3)
    assert concordance(np.array([3.0, 1.0, 2.0, 1.0]), time, event) == (1 + 0 + 1 + 0.5) / 4
    assert math.isnan(concordance(np.zeros(2), np.array([1.0, 2.0]), np.array([False, True])))


def test_a_constant_scores_one_half_and_what_is_not_finite_nothing() -> None:
    codec = SurvivalCodec(horizon=1.0)
    target = codec.batch([codec.read([time, time % 2]) for time in range(1, 9)])["target"]
    metric = codec.metrics()[0]
    assert metric.compute(codec.trivial(codec.prior(target), target), target) == 0.5
    assert metric.compute(codec.certain(target), target) == 1.0
    assert math.isnan(metric.compute(torch.full((8,), torch.nan), target))


# --- the hazard


def test_a_hazard_by_hand() -> None:
    """Hazards 1, 2 and 3, events at 1 and 3 (twice): H is 1 / 7 and then 1 / 7 + 2 / 6 - all four are at risk at 1."""
    hazard = np.log([1.0, 2.0, 3.0, 1.0])
    baseline = Baseline.fitted(hazard, np.array([1.0, 3.0, 4.0, 3.0]), np.array([True, True, False, True]))
    assert baseline is not None
    assert baseline.times == (1.0, 3.0)
    assert np.exp(baseline.log_hazards).tolist() == pytest.approx([1 / 7, 1 / 7 + 2 / 6])
    at = np.log([2.0])
    for time, cumulative in ((0.5, 0.0), (1.0, 1 / 7), (2.9, 1 / 7), (3.0, 1 / 7 + 2 / 6), (99.0, 1 / 7 + 2 / 6)):
        assert baseline.survival(at, time)[0] == pytest.approx(math.exp(-2 * cumulative))


def test_the_median_is_where_one_of_two_is_left() -> None:
    baseline = Baseline(times=(1.0, 2.0, 4.0), log_hazards=tuple(np.log([0.2, 0.7, 1.5]).tolist()))
    for h, expected in ((0.0, 2.0), (math.log(0.5), 4.0), (math.log(4.0), 1.0), (math.log(0.4), None)):
        (median,) = baseline.median(np.array([h]))
        assert median == expected
        if median is not None:
            assert (
                baseline.survival(np.array([h]), median)[0] <= 0.5 < baseline.survival(np.array([h]), median - 0.01)[0]
            )


def test_a_known_hazard_is_found_again_and_told() -> None:
    """Times are exponential with rate exp(h): H(t) = t, the median is log 2 / exp(h)."""
    _, hazard, time, event = proportional(6000, 2)
    codec = Survival().fit([[t, int(e)] for t, e in zip(time, event, strict=True)])
    target = torch.from_numpy(np.stack([time, event], axis=1))
    codec = codec.calibrated(torch.from_numpy(hazard - 3), target)  # any constant is the hazard's own
    assert codec.baseline is not None
    assert len(codec.baseline.times) == 1000
    said = codec.decode(torch.tensor([0.0, 1.0, -1.0]) - 3)
    assert said[""] == pytest.approx([-3.0, -2.0, -4.0])
    for h, median, probability in zip((0, 1, -1), said["median"], said["probability"], strict=True):
        assert median == pytest.approx(math.log(2) / math.exp(h), rel=0.1)
        assert probability == pytest.approx(math.exp(-codec.horizon * math.exp(h)), abs=0.02)


def test_answers_before_and_without_a_hazard() -> None:
    codec = SurvivalCodec(horizon=2.0)
    assert codec.decode(torch.tensor([1.0])) == {"": [1.0]}
    seen = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    assert codec.calibrated(torch.zeros(2), seen).baseline is None  # it happened to nobody
    ended = torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    assert codec.calibrated(torch.tensor([torch.nan, 0.0]), ended).baseline is None
    said = codec.calibrated(torch.zeros(2), ended).decode(torch.tensor([0.0, 900.0, -900.0]))
    assert said["median"] == [None, 1.0, None]  # exp(-1/2) of all are left; nobody; everybody
    assert said["probability"] == pytest.approx([math.exp(-0.5), 0.0, 1.0])


# --- labels


def test_labels_are_times_and_events() -> None:
    codec = Survival(event="died").fit([[2, "yes"], ["4.5", 0.0], [3, True], ["never", 1], [1, "maybe"]])
    assert codec.horizon == 3.0  # the median of the three that can be read
    assert Survival(horizon=9.0).fit([[2, 1], [3, 0]]).horizon == 9.0
    assert codec.read(["4.5", "no"]).tolist() == [4.5, 0.0]
    assert Survival().resolved(codec).horizon == 3.0


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ([0, 1], "not above 0"),
        ([-2, 1], "not above 0"),
        (["soon", 1], "not a number"),
        ([1, 2], "holds '2', expected 0 or 1"),
        (3, "two values"),
    ],
)
def test_what_is_no_label_is_refused(cell: object, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        SurvivalCodec(horizon=1.0).read(cell)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ([["soon", 1]], "a time and an event"),
        ([[1, 0], [2, 0]], "no training row has an event"),
        ([[2, 1], [2, 1], [1, 0]], "nobody lived longer"),
    ],
)
def test_labels_that_teach_nothing_are_refused(cells: list[object], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        Survival().fit(cells)
