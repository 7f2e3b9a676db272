"""What every fusion operator has to do. B rows, T tokens, D width.

The example: three inputs of different widths and lengths (two for an operator that takes no more), a row for every
subset of them; row 0 has none.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from motet.core.errors import SpecError
from motet.core.flow import Tokens
from motet.fusion.base import Fusion, FusionSpec
from motet.nn.dropout import salt_dropouts
from motet.nn.keyed import row_keys
from motet.testing import suite
from motet.testing.fusion_objectives import (
    objectives_are_finite,
    objectives_count_their_rows,
    objectives_see_what_is_there,
)
from motet.testing.fusion_streams import (
    a_row_without_inputs_is_finite,
    absent_streams_do_not_decide,
    contexts_are_sound,
    streams_are_as_declared,
    weights_add_up_to_one,
)
from motet.testing.tokens import EIGHT_WIDTHS, accepted, build, numbers, of_all_lengths, of_rows, some


def check_fusion(spec: FusionSpec) -> None:
    """Run every check of the room on the operator of this Spec; `AssertionError` names what fails.

    >>> from motet.fusion import Concat
    >>> check_fusion(Concat(width=8))
    """
    suite.run(CHECKS, spec, name=f"fusion {spec.kind}")


def spec_survives_json(spec: FusionSpec) -> None:
    """The Spec written as JSON and read back is the same Spec."""
    suite.spec_survives_json(spec)


def every_parameter_learns(spec: FusionSpec) -> None:
    """Every parameter gets a gradient that is not zero, from what comes out or from the operator's own losses."""
    fusion, tokens = build(spec), some(spec)
    streams = fusion(tokens)
    own = fusion.objectives(tokens, torch.arange(len(tokens["age"].present)))
    outputs = [fused.weight[:, None] * fused.pooled for fused in streams.values()]
    suite.assert_all_learn(fusion, suite.projected([*outputs, *(term.sum for term in own.values())]))


def nothing_learns_unseen(spec: FusionSpec) -> None:
    """Every tensor that learns is in `parameters()`."""
    suite.assert_none_hidden(build(spec))


def every_input_matters(spec: FusionSpec) -> None:
    """Another content of any present input changes what comes out."""
    fusion, tokens = build(spec), some(spec)
    before = numbers(fusion(tokens))
    for name in tokens:
        changed = {**tokens, name: _with(tokens[name], lambda values: values * 1.5 + 0.5)}
        same = all(torch.equal(a, b) for a, b in zip(before, numbers(fusion(changed)), strict=True))
        assert not same, f"the content of {name!r} changes nothing"


def rows_are_alone(spec: FusionSpec) -> None:
    """A row gives the same without the others and among others in another order."""
    fusion, tokens = build(spec), some(spec)
    together = numbers(fusion(tokens))
    num_rows = len(together[0])
    for rows in [[row] for row in range(num_rows)] + [list(reversed(range(num_rows)))]:
        for found, expected in zip(numbers(fusion(of_rows(tokens, rows))), together, strict=True):
            suite.assert_close(found, expected[rows], f"rows {rows} by themselves")


def rows_are_alone_in_training(spec: FusionSpec) -> None:
    """With dropout on, too: a row draws by its own key, whoever its batch mates are."""
    fusion, tokens = build(spec).train(), some(spec)
    salt_dropouts(fusion, 0)
    keys = torch.arange(len(tokens["age"].present)) + 7
    with row_keys(keys):
        together = numbers(fusion(tokens))
    for row in range(len(keys)):
        with row_keys(keys[row : row + 1]):
            alone = numbers(fusion(of_rows(tokens, [row])))
        for found, expected in zip(alone, together, strict=True):
            suite.assert_close(found, expected[row : row + 1], f"row {row} by itself in training")


def padding_does_not_matter(spec: FusionSpec) -> None:
    """More hidden tokens at the end change nothing."""
    fusion, tokens = build(spec), some(spec)
    longer = {name: _padded(value) for name, value in tokens.items()}
    for found, expected in zip(numbers(fusion(longer)), numbers(fusion(tokens)), strict=True):
        suite.assert_close(found, expected, "with longer padding")


def hidden_content_does_not_matter(spec: FusionSpec) -> None:
    """NaN or noise behind the mask changes no bit of the output or of any gradient."""
    fusion, tokens = build(spec), some(spec)
    clean = _numbers_and_gradients(fusion, tokens)
    for filler in (float("nan"), 1e30):
        spoilt = {
            name: Tokens(value.values.masked_fill(~value.mask[:, :, None], filler), value.mask, value.present)
            for name, value in tokens.items()
        }
        for found, expected in zip(_numbers_and_gradients(fusion, spoilt), clean, strict=True):
            suite.assert_same_bits(found, expected, f"with {filler} behind the mask")


def the_order_of_inputs_does_not_matter(spec: FusionSpec) -> None:
    """Inputs named in another order, at building or running, change no bit."""
    tokens = some(spec)
    backward = dict(reversed(tokens.items()))
    straight = build(spec)(tokens)
    turned = suite.seeded(lambda: spec.build(dict(reversed(accepted(spec).items()))))(backward)
    for stream, fused in straight.items():
        assert stream in turned, f"stream {stream!r} depends on the order of inputs"
        for found, expected in zip(numbers({stream: turned[stream]}), numbers({stream: fused}), strict=True):
            suite.assert_same_bits(found, expected, "inputs in reverse order")


def removal_is_exact(spec: FusionSpec) -> None:
    """Where the operator says so, a row without an input comes out as from one that never had it, weights the same."""
    fusion = build(spec)
    if not fusion.exact:
        return
    tokens = some(spec)
    for gone in tokens:
        rows = [row for row in range(len(tokens[gone].present)) if not bool(tokens[gone].present[row])]
        rest = {name: width for name, width in accepted(spec).items() if name != gone}
        try:
            fewer: Fusion = suite.seeded(partial(spec.build, rest), seed=1)
        except SpecError:  # a Spec that gives each input a weight by name
            continue
        state = fusion.state_dict()
        missing = [name for name in fewer.state_dict() if name not in state]
        assert not missing, f"built without {gone!r} the operator has parameters of another name: {missing}"
        fewer.load_state_dict({name: state[name] for name in fewer.state_dict()})
        streams = fusion(of_rows(tokens, rows))
        alone = fewer(of_rows({name: tokens[name] for name in rest}, rows))
        for stream, fused in alone.items():
            suite.assert_close(streams[stream].pooled, fused.pooled, f"stream {stream!r} without {gone!r}")
            suite.assert_close(streams[stream].weight, fused.weight, f"the weight of {stream!r} without {gone!r}")


def one_to_eight_inputs(spec: FusionSpec) -> None:
    """Any number of inputs from one to eight, of lengths 1 to 200 in one batch; more than it can take are refused."""
    refused: list[int] = []
    for count in range(1, 9):
        widths = dict(list(EIGHT_WIDTHS.items())[:count])
        try:
            fusion: Fusion = suite.seeded(partial(spec.build, widths))
        except SpecError as error:
            _assert_named(error, [spec.kind, *widths])
            refused += [count] if spec.kind in str(error) else []
            continue
        streams = fusion(of_all_lengths(widths))
        assert all(bool(number.isfinite().all()) for number in numbers(streams)), f"{count} inputs: not finite"
    assert refused == list(range(9 - len(refused), 9)), f"takes no {refused} inputs, but more"


def gradients_are_right(spec: FusionSpec) -> None:
    """The gradient with respect to the tokens agrees with finite differences in float64."""
    fusion, tokens = build(spec).double(), some(spec)
    tokens = of_rows(tokens, [0, 1, len(tokens["age"].present) - 1])
    values = [tokens[name].values.double().requires_grad_() for name in tokens]

    def run(*given: Tensor) -> tuple[Tensor, ...]:
        parts = zip(tokens.items(), given, strict=True)
        streams = fusion({name: Tokens(v, token.mask, token.present) for (name, token), v in parts})
        return tuple(fused.weight[:, None] * fused.pooled for fused in streams.values())

    assert torch.autograd.gradcheck(run, values, fast_mode=True), "the gradient is wrong"


def state_dict_is_all(spec: FusionSpec) -> None:
    """With the state of one, an operator built under another seed answers the same."""
    other: Fusion = suite.seeded(lambda: spec.build(accepted(spec)), seed=1)
    suite.assert_state_is_all(build(spec), other, lambda module: numbers(module(some(spec))))


CHECKS: tuple[Callable[[FusionSpec], None], ...] = (
    spec_survives_json,
    streams_are_as_declared,
    every_parameter_learns,
    nothing_learns_unseen,
    every_input_matters,
    rows_are_alone,
    rows_are_alone_in_training,
    contexts_are_sound,
    padding_does_not_matter,
    hidden_content_does_not_matter,
    the_order_of_inputs_does_not_matter,
    weights_add_up_to_one,
    absent_streams_do_not_decide,
    a_row_without_inputs_is_finite,
    removal_is_exact,
    one_to_eight_inputs,
    gradients_are_right,
    state_dict_is_all,
    objectives_see_what_is_there,
    objectives_count_their_rows,
    objectives_are_finite,
)


def _with(tokens: Tokens, change: Callable[[Tensor], Tensor]) -> Tokens:
    changed = torch.where((tokens.present[:, None] & tokens.mask)[:, :, None], change(tokens.values), tokens.values)
    return Tokens(changed, tokens.mask, tokens.present)


def _padded(tokens: Tokens) -> Tokens:
    values = torch.cat([tokens.values, torch.zeros_like(tokens.values[:, :1]).expand(-1, 3, -1)], dim=1)
    mask = torch.cat([tokens.mask, torch.zeros_like(tokens.mask[:, :1]).expand(-1, 3)], dim=1)
    return Tokens(values, mask, tokens.present)


def _numbers_and_gradients(fusion: Fusion, tokens: dict[str, Tokens]) -> list[Tensor]:
    found = numbers(fusion(tokens))
    gradients = torch.autograd.grad(suite.projected(found), list(fusion.parameters()), allow_unused=True)
    return [*found, *(gradient for gradient in gradients if gradient is not None)]


def _assert_named(error: Exception, words: Sequence[str]) -> None:
    assert any(word in str(error) for word in words), f"{error}: names neither the operator nor an input"
