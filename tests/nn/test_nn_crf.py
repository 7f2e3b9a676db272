"""The linear chain against an enumeration of all sequences of labels."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from motet.nn.crf import LinearChain

CASES = st.tuples(st.integers(1, 4), st.integers(2, 3), st.integers(0, 2**16))


def chain_of(num_labels: int, seed: int, *, longest: int = 8) -> LinearChain:
    chain = LinearChain(num_labels, longest=longest).double()
    draw = torch.Generator().manual_seed(seed)
    for weight in chain.parameters():
        weight.data = torch.randn(weight.shape, generator=draw, dtype=torch.float64)
    return chain


def logits_of(rows: int, places: int, labels: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed + 1)
    return torch.randn(rows, places, labels, generator=draw, dtype=torch.float64)


def score(chain: LinearChain, logits: Tensor, path: tuple[int, ...]) -> Tensor:
    total = chain.first[path[0]]
    for place, label in enumerate(path):
        total = total + logits[place, label]
        if place:
            total = total + chain.transitions[path[place - 1], label]
    return total


def every(chain: LinearChain, logits: Tensor) -> dict[tuple[int, ...], Tensor]:
    paths = itertools.product(range(logits.shape[1]), repeat=len(logits))
    return {path: score(chain, logits, path) for path in paths}


@settings(max_examples=60, deadline=None)
@given(CASES, st.data())
def test_the_loss_is_that_of_all_sequences_that_agree_with_the_labels(
    case: tuple[int, int, int], data: st.DataObject
) -> None:
    """Over all: a place without a label agrees with any. A shorter row behind it is padded."""
    places, num_labels, seed = case
    labels = data.draw(st.lists(st.integers(-2, num_labels - 1), min_size=places, max_size=places))
    length = data.draw(st.integers(1, places))
    chain, logits = chain_of(num_labels, seed), logits_of(2, places, num_labels, seed)
    there = torch.arange(places) < torch.tensor([[places], [length]])
    found = chain(logits, there, torch.tensor([labels, labels]))
    for row, size in enumerate((places, length)):
        scores = every(chain, logits[row, :size])
        agreeing = [
            value
            for path, value in scores.items()
            if all(label < 0 or label == one for one, label in zip(path, labels, strict=False))
        ]
        expected = torch.stack(list(scores.values())).logsumexp(0) - torch.stack(agreeing).logsumexp(0)
        torch.testing.assert_close(found[row], expected)


@settings(max_examples=60, deadline=None)
@given(CASES, st.data())
def test_the_best_sequence_is_the_best_of_all(case: tuple[int, int, int], data: st.DataObject) -> None:
    places, num_labels, seed = case
    length = data.draw(st.integers(1, places))
    chain, logits = chain_of(num_labels, seed), logits_of(2, places, num_labels, seed)
    there = torch.arange(places) < torch.tensor([[places], [length]])
    found = chain.best(logits, there)
    assert found.shape == (2, places)
    for row, size in enumerate((places, length)):
        scores = every(chain, logits[row, :size])
        assert tuple(found[row, :size].tolist()) == max(scores, key=lambda path: scores[path].item())


def test_a_compiled_graph_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    chain, logits = chain_of(4, 0, longest=9), logits_of(5, 7, 4, 0)
    there = torch.arange(7) < torch.tensor([[7], [1], [0], [4], [5]])
    expected = chain.best(logits, there)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    found = chain.best(logits, there)
    assert torch.equal(found[there], expected[there])
    assert found.shape == expected.shape


def test_without_transitions_places_are_apart() -> None:
    chain, logits = LinearChain(3, longest=8).double(), logits_of(2, 4, 3, 3)
    there, labels = torch.ones(2, 4, dtype=torch.bool), torch.tensor([[0, 1, 2, 0], [2, 2, -1, 1]])
    each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-1, reduction="none")
    torch.testing.assert_close(chain(logits, there, labels), each.view(2, 4).sum(dim=1))
    assert torch.equal(chain.best(logits, there), logits.argmax(dim=2))


def test_a_row_without_places_costs_nothing_and_what_lies_behind_the_end_is_not_read() -> None:
    chain, logits = chain_of(3, 5), logits_of(2, 4, 3, 5)
    there = torch.tensor([[True, True, False, False], [False] * 4])
    labels = torch.tensor([[0, 1, 2, 0], [1, 1, 1, 1]])
    loss = chain(logits, there, labels)
    assert loss[1] == 0
    dirty = torch.where(there[:, :, None], logits, 100.0).requires_grad_()
    again = chain(dirty, there, labels)
    assert torch.equal(again, loss)
    again.sum().backward()
    assert dirty.grad is not None
    assert not dirty.grad[~there].any()
    assert dirty.grad.isfinite().all()
    assert dirty.grad[there].any()
    assert all(weight.grad is not None and weight.grad.any() for weight in chain.parameters())


def test_scores_of_any_size_are_finite() -> None:
    chain, there = LinearChain(3, longest=8), torch.ones(1, 6, dtype=torch.bool)
    logits = (1e4 * torch.randn(1, 6, 3, generator=torch.Generator().manual_seed(0))).requires_grad_()
    loss = chain(logits, there, torch.tensor([[0, 1, 2, -1, 1, 0]]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
