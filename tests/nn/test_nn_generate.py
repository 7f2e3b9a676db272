"""Writing: against every sequence there is, against a beam search in plain loops, and the same in any company."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from motet.core.seed import generator
from motet.nn import Beam, Decoder, DecoderState, Greedy, Sampling, generate, keys_of

START, END, LONGEST = 0, 1, 4
Words = tuple[int, ...]


@dataclass
class Story:
    """A state that remembers everything: which row of the table each hypothesis is, and the ids so far."""

    row: Tensor
    ids: Tensor

    @property
    def device(self) -> torch.device:
        return self.row.device

    @property
    def rows(self) -> int:
        return len(self.row)

    def select(self, index: Tensor) -> "Story":
        return Story(self.row[index], self.ids[index])


def story(rows: list[int]) -> Story:
    return Story(torch.tensor(rows), torch.zeros(len(rows), 0, dtype=torch.int64))


def logits_after(row: int, ids: Words, num_ids: int) -> np.ndarray:
    """A table with an entry of its own for each row and everything that can have been written."""
    return 1.5 * generator("table", row, *ids).standard_normal(num_ids)


@dataclass
class Table:
    num_ids: int = 4
    ends: bool = True

    def __call__(self, ids: Tensor, state: Story) -> tuple[Tensor, Story]:
        state = Story(state.row, torch.cat([state.ids, ids[:, None]], dim=1))
        pairs = zip(state.row.tolist(), state.ids.tolist(), strict=True)
        return torch.tensor(np.array([self.logits(row, tuple(own)) for row, own in pairs])), state

    def logits(self, row: int, ids: Words) -> np.ndarray:
        logits = logits_after(row, ids, self.num_ids)
        logits[END] = logits[END] if self.ends else -np.inf
        return logits

    def log_probability(self, row: int, ids: Words, new: int) -> float:
        logits = self.logits(row, (START, *ids))
        return float(logits[new] - np.log(np.exp(logits).sum()))

    def total(self, row: int, ids: Words) -> float:
        return sum(self.log_probability(row, ids[:place], new) for place, new in enumerate(ids))

    def sequences(self, longest: int) -> Iterator[Words]:
        """All there are, with their ends, or cut off where the table has none."""
        words = range(2, self.num_ids)
        if not self.ends:
            return itertools.product(words, repeat=longest)
        lengths = (itertools.product(words, repeat=count) for count in range(longest))
        return ((*ids, END) for ids in itertools.chain.from_iterable(lengths))


def answers(
    table: Table, rows: list[int], method: Greedy | Beam | Sampling, longest: int = LONGEST
) -> list[tuple[Words, float]]:
    ids, mean = generate(
        table,
        story(rows),
        start_id=START,
        end_id=END,
        longest=longest,
        method=method,
        keys=keys_of(torch.tensor(rows), 7),
    )
    assert ids.dtype == torch.int64
    assert ids.shape[1] == (ids >= 0).sum(1).max()
    written = [tuple(number for number in own if number >= 0) for own in ids.tolist()]
    assert ids.tolist() == [[*own, *[-1] * (ids.shape[1] - len(own))] for own in written]
    return list(zip(written, mean.tolist(), strict=True))


def penalty(length: int, alpha: float) -> float:
    return math.pow((5 + length) / 6, alpha)


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_wide_beam_finds_the_best_of_all_sequences(alpha: float, ends: bool) -> None:
    table, rows = Table(num_ids=5, ends=ends), list(range(20))
    found = answers(table, rows, Beam(width=100, alpha=alpha))
    for row, (ids, mean) in zip(rows, found, strict=True):
        best = max(table.sequences(LONGEST), key=lambda own: table.total(row, own) / penalty(len(own), alpha))
        assert ids == tuple(number for number in best if number != END)
        assert mean == pytest.approx(table.total(row, best) / len(best))


def test_the_longest_answer_that_ends_has_one_id_less_than_steps() -> None:
    found = answers(Table(num_ids=5), list(range(30)), Beam(width=100, alpha=2.0))
    assert {len(ids) for ids, _ in found} >= {2, LONGEST - 1}
    assert max(len(ids) for ids, _ in found) == LONGEST - 1
    assert {len(ids) for ids, _ in answers(Table(ends=False), [0, 1], Beam(width=2))} == {LONGEST}


def beam_search(table: Table, row: int, *, width: int, alpha: float, longest: int) -> Words:
    """In plain loops, and without stopping early where nothing can be overtaken any more."""
    live: list[tuple[Words, float]] = [((), 0.0)]
    ended: list[tuple[Words, float]] = []
    for _ in range(longest):
        options: list[tuple[Words, float]] = [
            ((*ids, new), total + table.log_probability(row, ids, new))
            for ids, total in live
            for new in range(1, table.num_ids)
        ]
        options.sort(key=lambda option: -option[1])
        ended += [option for option in options[:width] if option[0][-1] == END]
        live = [option for option in options if option[0][-1] != END][:width]
        if len(ended) >= width:
            break
    return max(ended or live, key=lambda option: option[1] / penalty(len(option[0]), alpha))[0]


@given(
    first=st.integers(0, 10**6),
    width=st.integers(1, 5),
    alpha=st.floats(0, 2),
    num_ids=st.integers(3, 6),
    longest=st.integers(1, 6),
)
@settings(max_examples=40, deadline=None)
def test_beam_search_equals_plain_loops(first: int, width: int, alpha: float, num_ids: int, longest: int) -> None:
    table, rows = Table(num_ids=num_ids), list(range(first, first + 4))
    found = answers(table, rows, Beam(width=width, alpha=alpha), longest)
    for row, (ids, mean) in zip(rows, found, strict=True):
        expected = beam_search(table, row, width=width, alpha=alpha, longest=longest)
        assert ids == tuple(number for number in expected if number != END)
        assert mean == pytest.approx(table.total(row, expected) / len(expected))


def test_greedy_takes_the_likeliest_each_time_and_a_beam_of_one_the_same() -> None:
    table, rows = Table(num_ids=5), list(range(50))
    found = answers(table, rows, Greedy())
    for row, (ids, mean) in zip(rows, found, strict=True):
        own: Words = ()
        while len(own) < LONGEST and (not own or own[-1] != END):
            own += (1 + int(table.logits(row, (START, *own))[1:].argmax()),)
        assert ids == tuple(number for number in own if number != END)
        assert mean == pytest.approx(table.total(row, own) / len(own))
    of_one = answers(table, rows, Beam(width=1))
    assert [ids for ids, _ in of_one] == [ids for ids, _ in found]
    assert [mean for _, mean in of_one] == pytest.approx([mean for _, mean in found])
    assert answers(table, rows, Sampling(top_k=1)) == found
    assert answers(table, rows, Sampling(top_p=1e-9)) == found


METHODS = [Greedy(), Beam(width=3), Beam(width=2, alpha=2.0), Sampling(), Sampling(top_p=0.8, temperature=2.0)]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_row_writes_the_same_alone(method: Greedy | Beam | Sampling) -> None:
    table, rows = Table(num_ids=6), list(range(25))
    together = answers(table, rows, method, longest=7)
    assert len({len(ids) for ids, _ in together}) > 2
    assert together == [answers(table, [row], method, longest=7)[0] for row in rows]
    assert together == answers(table, rows[::-1], method, longest=7)[::-1]


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_decoder_writes_the_same_for_a_row_alone(method: Greedy | Beam | Sampling) -> None:
    torch.manual_seed(2)
    model = Decoder(16, layers=2, heads=2, num_ids=9, longest=8)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_((2.0 if name == "places" else 0.3) * torch.randn_like(parameter))
    memory, mask = torch.randn(12, 5, 16), torch.rand(12, 5, generator=torch.Generator().manual_seed(0)) < 0.6

    def step(ids: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        logits, state = model.step(ids, state)
        return 3 * logits, state

    def written(rows: slice) -> tuple[Tensor, Tensor]:
        keys = keys_of(torch.arange(12)[rows], 0)
        state = model.start(memory[rows], mask[rows])
        return generate(step, state, start_id=0, end_id=1, longest=8, method=method, keys=keys)

    ids, mean = written(slice(None))
    assert len(set((ids >= 0).sum(1).tolist())) > 2
    for row in range(12):
        own, own_mean = written(slice(row, row + 1))
        assert own[0].tolist() == [number for number in ids[row].tolist() if number >= 0]
        torch.testing.assert_close(own_mean[0], mean[row], rtol=0, atol=1e-5)


LOGITS = torch.tensor([0.0, 0.5, 2.0, 1.5, -1.0, 1.0])
PROBABILITY = np.exp(LOGITS.double().numpy()) / np.exp(LOGITS.double().numpy()).sum()


@pytest.mark.parametrize(
    ("method", "kept", "power"),
    [
        (Sampling(), [0, 1, 2, 3, 4, 5], 1.0),
        (Sampling(temperature=2.0), [0, 1, 2, 3, 4, 5], 0.5),
        (Sampling(top_k=3), [2, 3, 5], 1.0),
        (Sampling(top_k=10), [0, 1, 2, 3, 4, 5], 1.0),
        (Sampling(top_p=0.7), [2, 3], 1.0),  # 0.43 + 0.26 < 0.7 <= 0.43 + 0.26 + 0.16
        (Sampling(top_k=3, top_p=0.75), [2, 3], 1.0),  # of 0.43, 0.26 and 0.16, which are 0.85 in all
        (Sampling(top_k=3, top_p=0.7, temperature=0.5), [2], 2.0),
    ],
    ids=str,
)
def test_samples_have_the_frequencies_they_should(method: Sampling, kept: list[int], power: float) -> None:
    rows = 20_000
    kept = kept if method.top_p is None else nucleus(PROBABILITY**power, method)
    log_probability = LOGITS.log_softmax(0).expand(rows, -1)
    draws = torch.rand(rows, generator=torch.Generator().manual_seed(0))
    counts = np.bincount(method.choose(log_probability, draws), minlength=6)
    expected = np.zeros(6)
    expected[kept] = PROBABILITY[kept] ** power
    expected *= rows / expected.sum()
    assert (counts[expected == 0] == 0).all()
    chi_square = ((counts - expected)[kept] ** 2 / expected[kept]).sum()
    assert chi_square < 25  # 5 degrees of freedom at most: beyond it 1 in 7,000


def nucleus(probability: np.ndarray, method: Sampling) -> list[int]:
    """The fewest of the likeliest that reach p, by trying."""
    order = sorted(range(len(probability)), key=lambda number: -probability[number])[: method.top_k]
    whole = sum(probability[order])
    count = next(n for n in range(1, 7) if sum(probability[order[:n]]) / whole >= (method.top_p or 1))
    return order[:count]


def test_a_nucleus_wider_than_a_first_look_is_found() -> None:
    log_probability = torch.tensor(generator(1).standard_normal((3, 900))).log_softmax(1)
    log_probability[0, 5] = 9.0  # one row is sure, the others take most of the 900
    log_probability = log_probability.log_softmax(1)
    draws = torch.tensor([0.5, 0.0, 0.9999999])
    chosen = Sampling(top_p=0.95).choose(log_probability, draws)
    sorted_rows = log_probability.exp().sort(dim=1, descending=True)
    count = 1 + int((sorted_rows.values[2].cumsum(0) < 0.95).sum())
    assert count > 512
    assert chosen.tolist() == [5, int(sorted_rows.indices[1, 0]), int(sorted_rows.indices[2, count - 1])]


def test_each_step_and_each_key_draws_anew() -> None:
    def told(ids: Tensor, state: Story) -> tuple[Tensor, Story]:
        return torch.zeros(len(ids), 6), state

    rows = story([0] * 400)
    written, mean = generate(
        told, rows, start_id=0, end_id=1, longest=3, method=Sampling(), never=[2], keys=keys_of(torch.arange(400), 0)
    )
    pairs = written[(written >= 0).all(1)][:, :2]
    assert len({tuple(pair) for pair in pairs.tolist()}) == 9
    torch.testing.assert_close(mean, torch.full((400,), -math.log(6), dtype=torch.float64))  # whatever is never written


def test_what_is_never_written_is_not() -> None:
    table = Table(num_ids=6)
    for method in (Greedy(), Beam(width=3), Sampling()):
        whole, without = (
            generate(
                table,
                story(list(range(40))),
                start_id=START,
                end_id=END,
                longest=4,
                method=method,
                never=never,
                keys=keys_of(torch.arange(40), 0),
            )[0]
            for never in ([], [2, 4])
        )
        assert set(whole.flatten().tolist()) == {-1, 2, 3, 4, 5}
        assert set(without.flatten().tolist()) == {-1, 3, 5}


def test_one_id_may_be_the_start_and_the_end() -> None:
    def told(ids: Tensor, state: Story) -> tuple[Tensor, Story]:
        return 9 * torch.eye(3)[(ids + 1) % 3], state

    for method in (Greedy(), Beam(width=2)):
        written, _ = generate(told, story([0, 1]), start_id=0, end_id=0, longest=5, method=method)
        assert written.tolist() == [[1, 2], [1, 2]]


def test_rows_that_are_done_at_once_write_nothing_and_no_rows_neither() -> None:
    def told(ids: Tensor, state: Story) -> tuple[Tensor, Story]:
        return torch.tensor([[0.0, 9.0, 0.0]]).repeat(len(ids), 1), state

    for method in (Greedy(), Beam(width=2)):
        written, mean = generate(told, story([0, 1]), start_id=0, end_id=1, longest=5, method=method)
        assert written.shape == (2, 0)
        torch.testing.assert_close(mean, torch.full((2,), 9 - math.log(math.exp(9) + 2), dtype=torch.float64))
        model = Decoder(8, layers=1, heads=2, num_ids=5, longest=5)
        state = model.start(torch.zeros(0, 3, 8), torch.zeros(0, 3, dtype=torch.bool))
        nobody, none = generate(model.step, state, start_id=0, end_id=1, longest=5, method=method)
        assert nobody.shape == (0, 0)
        assert none.shape == (0,)


def test_what_can_not_be_is_refused() -> None:
    table = Table()
    with pytest.raises(ValueError, match="one for each of the 2 rows, found none"):
        generate(table, story([0, 1]), start_id=0, end_id=1, longest=3, method=Sampling())
    with pytest.raises(ValueError, match="one for each of the 2 rows, found 3"):
        generate(table, story([0, 1]), start_id=0, end_id=1, longest=3, method=Sampling(), keys=torch.arange(3))
    with pytest.raises(ValueError, match="the end, id 1,"):
        generate(table, story([0]), start_id=0, end_id=1, longest=3, never=[1])
    with pytest.raises(ValueError, match="found 0 as the most"):
        generate(table, story([0]), start_id=0, end_id=1, longest=0)
    for wrong in ({"temperature": 0.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.1}):
        with pytest.raises(ValueError, match="found"):
            Sampling(**wrong)
    for wrong_beam in ({"width": 0}, {"alpha": -1.0}):
        with pytest.raises(ValueError, match="found"):
            Beam(**wrong_beam)
