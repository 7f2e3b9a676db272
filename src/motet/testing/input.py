"""What every kind of input has to do: the preparation and the encoder. N rows, T tokens, D width."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from motet.core.errors import CellError
from motet.core.flow import Tokens
from motet.inputs.base import Encoder, InputSpec, Preparation
from motet.testing import suite

NO_CELL = {"no": "cell"}


@dataclass(frozen=True)
class Case:
    """A Spec and some cells it can be fitted to, not all alike."""

    spec: InputSpec
    cells: Sequence[object]

    def fit(self) -> Preparation:
        """The preparation fitted to the cells."""
        return self.spec.fit(list(self.cells))

    def build(self, seed: int = 0) -> Encoder:
        """An encoder, seeded, in evaluation mode."""
        preparation = self.fit()
        encoder: Encoder = suite.seeded(lambda: self.spec.build(preparation), seed)
        return encoder

    def batch(self) -> dict[str, Tensor]:
        """All cells, read and stacked."""
        preparation = self.fit()
        return preparation.batch([preparation.read(cell) for cell in self.cells])


def check_input(spec: InputSpec, cells: Sequence[object]) -> None:
    """Run every check of the room on this Spec with these cells; `AssertionError` names what fails.

    >>> from motet.inputs import Number
    >>> check_input(Number(), [1, 2.5, "4", -3])
    """
    suite.run(CHECKS, Case(spec, cells), name=f"input {spec.kind}")


def spec_survives_json(case: Case) -> None:
    """The Spec written as JSON and read back is the same Spec."""
    suite.spec_survives_json(case.spec)


def preparation_survives_json(case: Case) -> None:
    """The preparation, through JSON and `restore`, prepares every cell the same."""
    preparation = case.fit()
    restored = case.spec.restore(_through_json(preparation))
    again = restored.batch([restored.read(cell) for cell in case.cells])
    for name, tensor in case.batch().items():
        suite.assert_same_bits(again[name], tensor, f"{name}, prepared by a restored preparation")


def nothing_auto_is_left(case: Case) -> None:
    """The resolved Spec has no "auto" but `drop`, and fits to the same."""
    resolved = case.spec.resolved(case.fit())
    left = [name for name, value in resolved if value == "auto" and name != "drop"]
    assert not left, f"still auto: {', '.join(left)}"
    assert resolved.fit(list(case.cells)) == case.fit(), "the resolved Spec fits to something else"


def bad_cells_are_refused_and_passed_over(case: Case) -> None:
    """`read` raises `CellError` for a cell of another world; `fit` does as if it were not there."""
    preparation = case.fit()
    try:
        preparation.read(NO_CELL)
    except CellError:
        pass
    else:
        raise AssertionError("read took a bare mapping for a cell")
    assert case.spec.fit([NO_CELL, *case.cells]) == preparation, "fit was changed by a cell that read refuses"


def variation_is_seeded_and_leaves_the_item(case: Case) -> None:
    """`augment` draws from its generator alone, does not write into the item, and is the identity unless `varies`."""
    preparation = case.fit()
    for number, cell in enumerate(case.cells):
        item = preparation.read(cell)
        before = item.copy()
        once, again = (preparation.augment(item, np.random.default_rng(number)) for _ in range(2))
        assert np.array_equal(once, again), "the same generator gave two variations"
        assert np.array_equal(item, before), "augment wrote into the item"
        assert preparation.varies or np.array_equal(once, item), "varies is False, yet the item varies"
        preparation.batch([once])


def tokens_are_as_declared(case: Case) -> None:
    """`[N, T, output_width]`, every row present with at least one real token, all of these finite."""
    encoder = case.build()
    tokens = encoder(case.batch())
    num_rows = len(case.cells)
    expected = (num_rows, tokens.mask.shape[1], encoder.output_width)
    assert tuple(tokens.values.shape) == expected, f"tokens are {tuple(tokens.values.shape)} instead of {expected}"
    assert tokens.mask.dtype == tokens.present.dtype == torch.bool, "mask or present is not of truth values"
    assert bool(tokens.present.all()), "a row that was given is called absent"
    assert bool(tokens.mask.any(dim=1).all()), "a row has no token"
    assert bool(tokens.values[tokens.mask].isfinite().all()), "a token is not finite"


def every_parameter_learns(case: Case) -> None:
    """Every parameter gets a gradient that is not zero."""
    encoder = case.build()
    tokens = encoder(case.batch())
    suite.assert_all_learn(encoder, suite.projected([tokens.values[tokens.mask]]))


def nothing_learns_unseen(case: Case) -> None:
    """Every tensor that learns is in `parameters()`."""
    suite.assert_none_hidden(case.build())


def rows_are_alone(case: Case) -> None:
    """A row gives the same tokens without the others, without their padding, and among others in another order."""
    encoder, preparation = case.build(), case.fit()
    together = encoder(case.batch())
    num_rows = len(case.cells)
    for rows in [[row] for row in range(num_rows)] + [list(reversed(range(num_rows)))]:
        found = encoder(preparation.batch([preparation.read(case.cells[row]) for row in rows]))
        for place, row in enumerate(rows):
            suite.assert_close(_real(found, place), _real(together, row), f"row {row} with the rows {rows}")


def cells_matter(case: Case) -> None:
    """Not every cell gives the same tokens."""
    tokens = case.build()(case.batch())
    first = _real(tokens, 0)
    others = [_real(tokens, row) for row in range(1, len(case.cells))]
    assert not all(other.shape == first.shape and torch.equal(other, first) for other in others), "all tokens are equal"


def state_dict_is_all(case: Case) -> None:
    """With the state of one, an encoder built under another seed answers the same."""
    suite.assert_state_is_all(case.build(), case.build(seed=1), lambda encoder: [encoder(case.batch()).values])


CHECKS: tuple[Callable[[Case], None], ...] = (
    spec_survives_json,
    preparation_survives_json,
    nothing_auto_is_left,
    bad_cells_are_refused_and_passed_over,
    variation_is_seeded_and_leaves_the_item,
    tokens_are_as_declared,
    every_parameter_learns,
    nothing_learns_unseen,
    rows_are_alone,
    cells_matter,
    state_dict_is_all,
)


def _real(tokens: Tokens, row: int) -> Tensor:
    return tokens.values[row][tokens.mask[row]]


def _through_json(preparation: Preparation) -> dict[str, object]:
    state: dict[str, object] = json.loads(preparation.model_dump_json())
    return state
