"""What the losses of a fusion's own have to be: of what is there, and of the rows that they can say something about."""

from collections.abc import Iterable

import torch
from torch import Tensor

from motet.core.flow import LossTerm, Tokens
from motet.fusion.base import Fusion, FusionSpec
from motet.testing import suite
from motet.testing.tokens import accepted, build, example, of_rows


def objectives_see_what_is_there(spec: FusionSpec) -> None:
    """What stands in for absent inputs and behind masks changes no bit of any loss, count or gradient."""
    fusion, tokens = build(spec), example(accepted(spec))
    clean = _numbers_and_gradients(fusion, tokens)
    for filler in (float("nan"), 1e30):
        spoilt = {name: _spoilt(one, filler) for name, one in tokens.items()}
        for found, expected in zip(_numbers_and_gradients(fusion, spoilt), clean, strict=True):
            suite.assert_same_bits(found, expected, f"an objective with {filler} where inputs are absent")


def objectives_count_their_rows(spec: FusionSpec) -> None:
    """The count is that of the rows which count by themselves; without the others nothing changes.

    So a row that lacks one of a pair is no negative of any other; one without any input never counts.
    """
    fusion, tokens = build(spec), example(accepted(spec))
    num_rows = len(tokens["age"].present)
    whole, single = terms(fusion, tokens, range(num_rows)), [terms(fusion, tokens, [row]) for row in range(num_rows)]
    assert fusion.learns_alone or not whole, f"has objectives {sorted(whole)}, but `learns_alone` says it has none"
    for name, term in whole.items():
        counted = [row for row in range(num_rows) if name in single[row] and int(single[row][name].count)]
        assert 0 not in counted, f"objective {name!r} counts a row without any input"
        assert int(term.count) == len(counted), f"objective {name!r} counts {int(term.count)} rows, not {len(counted)}"
        if counted:
            suite.assert_close(terms(fusion, tokens, counted)[name].sum, term.sum, f"{name!r} of its rows alone")
        for row in (row for row in range(num_rows) if row not in counted and name in single[row]):
            assert float(single[row][name].sum.detach()) == 0, (
                f"objective {name!r} has a loss for a row that it does not count"
            )


def objectives_are_finite(spec: FusionSpec) -> None:
    """Whatever rows there are, one alone or only rows without any input, losses and gradients are finite."""
    fusion, tokens = build(spec), example(accepted(spec))
    last = len(tokens["age"].present) - 1
    for rows in ([0], [1], [last], [0, last], [last, last]):
        found = _numbers_and_gradients(fusion, of_rows(tokens, rows))
        assert all(bool(one.isfinite().all()) for one in found), f"of rows {rows} an objective is not finite"


def terms(fusion: Fusion, tokens: dict[str, Tokens], rows: Iterable[int]) -> dict[str, LossTerm]:
    """The losses of these rows, under the keys that they always have."""
    chosen = list(rows)
    return fusion.objectives(of_rows(tokens, chosen), torch.tensor(chosen) + 7)


def _numbers_and_gradients(fusion: Fusion, tokens: dict[str, Tokens]) -> list[Tensor]:
    found = terms(fusion, tokens, range(len(tokens["age"].present)))
    numbers = [number for _, term in sorted(found.items()) for number in (term.sum, term.count)]
    losses = [term.sum for _, term in sorted(found.items()) if term.sum.requires_grad]
    if not losses:
        return numbers
    gradients = torch.autograd.grad(torch.stack(losses).sum(), list(fusion.parameters()), allow_unused=True)
    return [*numbers, *(gradient for gradient in gradients if gradient is not None)]


def _spoilt(one: Tokens, filler: float) -> Tokens:
    return Tokens(one.values.masked_fill(~(one.mask & one.present[:, None])[:, :, None], filler), one.mask, one.present)
