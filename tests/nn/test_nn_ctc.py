"""CTC: against every alignment there is, and against a prefix search in plain loops."""

import itertools
import math
from collections import defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from motet.nn import ctc_best_path, ctc_fits, ctc_loss, ctc_prefix_search

Label = tuple[int, ...]


def random_logits(*shape: int, seed: int = 0, scale: float = 1.5) -> Tensor:
    return scale * torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def everything(length: int, rows: int = 1) -> Tensor:
    return torch.ones(rows, length, dtype=torch.bool)


def label_of(path: Label) -> Label:
    return tuple(number for number, _ in itertools.groupby(path) if number)


def labels_by_enumeration(probability: Tensor) -> dict[Label, float]:
    """The probability of every label: the sum over all V^T alignments."""
    found: dict[Label, float] = defaultdict(float)
    for path in itertools.product(range(probability.shape[1]), repeat=len(probability)):
        found[label_of(path)] += math.prod(probability[t, number].item() for t, number in enumerate(path))
    return found


def padded_labels(labels: list[Label]) -> Tensor:
    longest = max(map(len, labels))
    return torch.tensor([[*label, *[-1] * (longest - len(label))] for label in labels])


def test_the_loss_of_every_label_by_enumeration() -> None:
    logits = random_logits(5, 3)
    found = labels_by_enumeration(logits.softmax(1))
    assert sum(found.values()) == pytest.approx(1)
    labels = sorted(found)
    assert () in labels
    assert (2, 2, 2) in labels
    loss = ctc_loss(logits.expand(len(labels), -1, -1), everything(5, len(labels)), padded_labels(labels))
    assert loss.tolist() == pytest.approx([-math.log(found[label]) / max(1, len(label)) for label in labels])


@pytest.mark.parametrize("frames", range(5))
def test_what_can_not_be_aligned_does_not_fit_and_costs_nothing(frames: int) -> None:
    labels = [label for count in range(5) for label in itertools.product((1, 2), repeat=count)]
    logits = random_logits(len(labels), 4, 3).requires_grad_()
    mask = (torch.arange(4) < frames).expand(len(labels), -1)
    possible = {label_of(path) for path in itertools.product(range(3), repeat=frames)}
    fits = ctc_fits(mask, padded_labels(labels))
    assert {label for label, fit in zip(labels, fits.tolist(), strict=True) if fit} == possible
    loss = ctc_loss(logits, mask, padded_labels(labels))
    torch.autograd.backward(loss.sum())
    assert logits.grad is not None
    counted = fits if frames else torch.zeros_like(fits)
    assert (loss[counted] > 0).all()
    assert (loss[~counted] == 0).all()
    assert (logits.grad[~counted] == 0).all()
    assert (logits.grad[counted][:, :frames] != 0).all()
    assert (logits.grad[:, frames:] == 0).all()


def test_the_gradient_is_that_of_the_loss() -> None:
    mask = torch.tensor([[True] * 4, [True] * 3 + [False], [True, False, True, True]])
    labels = torch.tensor([[1, 1, 2], [2, -1, -1], [-1, -1, -1]])
    logits = random_logits(3, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ctc_loss(x, mask, labels), logits)


LABELS = torch.tensor([[1, 2, 2], [3, -1, -1], [1, 2, 3]])


@pytest.mark.parametrize("filler", [float("nan"), float("inf"), 1e9])
def test_rows_left_out_and_hidden_frames_are_without_effect(filler: float) -> None:
    mask = torch.arange(6) < torch.tensor([6, 4, 0])[:, None]
    clean, dirty = (random_logits(3, 6, 4).requires_grad_() for _ in range(2))
    poisoned = dirty.masked_fill(~mask[:, :, None], filler)
    for logits in (clean, poisoned):
        torch.autograd.backward(ctc_loss(logits, mask, LABELS).sum())
    assert clean.grad is not None
    assert dirty.grad is not None
    assert clean.grad.abs().sum() > 0
    assert torch.equal(clean.grad, dirty.grad)
    assert torch.equal(ctc_loss(poisoned, mask, LABELS), ctc_loss(clean, mask, LABELS))
    for search in (ctc_best_path, ctc_prefix_search):
        assert torch.equal(search(poisoned.detach(), mask), search(clean.detach(), mask))


def test_a_row_that_does_not_fit_may_hold_anything() -> None:
    logits = random_logits(2, 2, 4)
    logits[1] = float("nan")
    logits.requires_grad_()
    loss = ctc_loss(logits, everything(2, 2), LABELS[:2].flip(0))
    torch.autograd.backward(loss.sum())
    assert loss[1] == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_a_row_alone_without_its_padding_is_the_same() -> None:
    mask = torch.arange(6) < torch.tensor([6, 4, 5])[:, None]
    logits = random_logits(3, 6, 4)
    loss, path, found = (ask(logits, mask) for ask in (with_labels, ctc_best_path, ctc_prefix_search))
    for row, frames in enumerate((6, 4, 5)):
        alone = logits[row : row + 1, :frames]
        expected = ctc_loss(alone, everything(frames), LABELS[row : row + 1, : int((LABELS[row] >= 0).sum())])
        torch.testing.assert_close(loss[row], expected[0], rtol=0, atol=1e-12)
        assert tokens(path[row]) == tokens(ctc_best_path(alone, everything(frames))[0])
        assert tokens(found[row]) == tokens(ctc_prefix_search(alone, everything(frames))[0])


def with_labels(logits: Tensor, mask: Tensor) -> Tensor:
    return ctc_loss(logits, mask, LABELS)


def tokens(ids: Tensor) -> Label:
    found = tuple(number for number in ids.tolist() if number != -1)
    assert ids.tolist() == [*found, *[-1] * (len(ids) - len(found))]
    return found


def test_frames_in_the_middle_may_be_hidden() -> None:
    mask = torch.tensor([[True, False, True, True, False, True]])
    logits = random_logits(1, 6, 4, seed=3)
    left, label = logits[:, mask[0]], LABELS[2:]
    torch.testing.assert_close(ctc_loss(logits, mask, label), ctc_loss(left, everything(4), label))
    for search in (ctc_best_path, ctc_prefix_search):
        assert torch.equal(search(logits, mask), search(left, everything(4)))


@pytest.mark.parametrize("search", [ctc_best_path, ctc_prefix_search])
@pytest.mark.parametrize(
    ("path", "label"),
    [
        ([0, 2, 2, 0, 2, 1], [2, 2, 1]),
        ([1, 1, 1, 1, 1, 1], [1]),
        ([0, 0, 0, 0, 0, 0], []),
        ([1, 2, 1, 2, 0, 2], [1, 2, 1, 2, 2]),
    ],
)
def test_certain_frames_by_hand(search: object, path: list[int], label: list[int]) -> None:
    assert callable(search)
    assert search(torch.eye(3)[path][None].log(), everything(6)).tolist() == [label]


def test_without_rows_or_frames_there_is_nothing() -> None:
    for rows, frames in [(0, 4), (2, 0)]:
        logits, mask = random_logits(rows, frames, 3).requires_grad_(), everything(frames, rows)
        loss = ctc_loss(logits, mask, torch.full((rows, 2), 1))
        torch.autograd.backward(loss.sum())
        assert loss.tolist() == [0.0] * rows
        for search in (ctc_best_path, ctc_prefix_search):
            assert search(logits.detach(), mask).shape == (rows, 0)


def test_the_best_path_is_the_label_of_the_likeliest_ids() -> None:
    logits, mask = random_logits(20, 99, 4), torch.rand(20, 99, generator=torch.Generator().manual_seed(0)) < 0.8
    found = ctc_best_path(logits, mask)
    for row in range(20):
        assert tokens(found[row]) == label_of(tuple(logits[row, mask[row]].argmax(1).tolist()))


def test_a_wide_prefix_search_finds_the_likeliest_of_all_labels() -> None:
    logits = random_logits(30, 5, 3, scale=0.7)
    found, differs = ctc_prefix_search(logits.log_softmax(2), everything(5, 30), width=200), 0
    for row in range(30):
        by_enumeration = labels_by_enumeration(logits[row].softmax(1))
        assert tokens(found[row]) == max(by_enumeration, key=lambda label: by_enumeration[label])
        differs += tokens(found[row]) != tokens(ctc_best_path(logits, everything(5, 30))[row])
    assert differs > 3  # the best path is something else


def prefix_search(probability: Tensor, width: int) -> Label:
    """Hannun et al. in plain loops and plain probabilities: every prefix, every id."""
    beam: dict[Label, tuple[float, float]] = {(): (1.0, 0.0)}
    for frame in probability.tolist():
        blank: dict[Label, float] = defaultdict(float)
        other: dict[Label, float] = defaultdict(float)
        for prefix, (ends_blank, ends_other) in beam.items():
            blank[prefix] += frame[0] * (ends_blank + ends_other)
            for new in range(1, len(frame)):
                if prefix and prefix[-1] == new:
                    other[prefix] += frame[new] * ends_other
                    other[(*prefix, new)] += frame[new] * ends_blank
                else:
                    other[(*prefix, new)] += frame[new] * (ends_blank + ends_other)
        best = sorted({*blank, *other}, key=lambda prefix: -blank[prefix] - other[prefix])[:width]
        beam = {prefix: (blank[prefix], other[prefix]) for prefix in best}
    return max(beam, key=lambda prefix: sum(beam[prefix]))


@given(
    seed=st.integers(0, 10**6),
    width=st.integers(1, 6),
    num_ids=st.integers(2, 20),
    frames=st.integers(1, 9),
    scale=st.floats(0.3, 5),
)
@settings(max_examples=60, deadline=None)
def test_prefix_search_equals_plain_loops(seed: int, width: int, num_ids: int, frames: int, scale: float) -> None:
    log_probability = random_logits(3, frames, num_ids, seed=seed, scale=scale).log_softmax(2)
    found = ctc_prefix_search(log_probability, everything(frames, 3), width=width)
    assert [tokens(row) for row in found] == [prefix_search(row.exp(), width) for row in log_probability]


@pytest.mark.parametrize(("num_ids", "width"), [(2, 3), (3, 7)])
def test_prefix_search_equals_plain_loops_where_the_beam_is_wider_than_there_are_prefixes(
    num_ids: int, width: int
) -> None:
    log_probability = random_logits(300, 9, num_ids).log_softmax(2)
    found = ctc_prefix_search(log_probability, everything(9, 300), width=width)
    assert [tokens(row) for row in found] == [prefix_search(row.exp(), width) for row in log_probability]


def test_the_likeliest_id_is_not_the_only_one_worth_a_look() -> None:
    """Behind "1", half of it ended by a blank, the frame's likeliest id makes less of it than the second one does."""
    probability = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.5, 0.0], [0.05, 0.5, 0.45]])
    assert prefix_search(probability, 1) == (1, 2)
    assert ctc_prefix_search(probability[None].log(), everything(3), width=1).tolist() == [[1, 2]]


def test_ids_that_can_not_be_are_no_trouble() -> None:
    """Prefixes of probability 0 in the beam must not stand in for those that come to life later."""
    for seed in range(20):
        logits = random_logits(1, 5, 4, seed=seed)
        hidden = torch.rand(1, 5, 4, generator=torch.Generator().manual_seed(seed)) < 0.5
        hidden[:, :, 0] = False
        log_probability = logits.masked_fill(hidden, -torch.inf).log_softmax(2)
        found = ctc_prefix_search(log_probability, everything(5), width=30)
        by_enumeration = labels_by_enumeration(log_probability[0].exp())
        assert tokens(found[0]) == max(by_enumeration, key=lambda label: by_enumeration[label])


def test_a_width_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more, found 0"):
        ctc_prefix_search(random_logits(1, 2, 3), everything(2), width=0)
