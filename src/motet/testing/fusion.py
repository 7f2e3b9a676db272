"""What every fusion operator has to do. B rows, T tokens, D width.

The example: three inputs of different widths and lengths, a row for every subset of them; row 0 has none.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from motet.core.flow import Fused, Tokens
from motet.fusion.base import Fusion, FusionSpec
from motet.testing import suite

WIDTHS = {"age": 3, "photo": 6, "review": 4}
LENGTHS = {"age": 1, "photo": 4, "review": 5}
Streams = dict[str, Fused]


def check_fusion(spec: FusionSpec) -> None:
    """Run every check of the room on the operator of this Spec; `AssertionError` names what fails.

    >>> from motet.fusion import Concat
    >>> check_fusion(Concat(width=8))
    """
    suite.run(CHECKS, spec, name=f"fusion {spec.kind}")


def spec_survives_json(spec: FusionSpec) -> None:
    """The Spec written as JSON and read back is the same Spec."""
    suite.spec_survives_json(spec)


def streams_are_as_declared(spec: FusionSpec) -> None:
    """`forward` returns the declared streams, `[B, output_width]` each."""
    fusion, tokens = build(spec), some()
    found = fusion(tokens)
    assert sorted(found) == sorted(fusion.streams), f"declared {fusion.streams}, returned {tuple(found)}"
    for stream, fused in found.items():
        rows = len(tokens["age"].present)
        assert fused.pooled.shape == (rows, fusion.output_width), f"{stream}: pooled is {tuple(fused.pooled.shape)}"
        assert fused.present.shape == fused.weight.shape == (rows,), f"{stream}: present or weight is not [B]"


def every_parameter_learns(spec: FusionSpec) -> None:
    """Every parameter gets a gradient that is not zero."""
    fusion = build(spec)
    streams = fusion(some())
    suite.assert_all_learn(
        fusion, suite.projected([fused.weight[:, None] * fused.pooled for fused in streams.values()])
    )


def nothing_learns_unseen(spec: FusionSpec) -> None:
    """Every tensor that learns is in `parameters()`."""
    suite.assert_none_hidden(build(spec))


def every_input_matters(spec: FusionSpec) -> None:
    """Another content of any present input changes what comes out."""
    fusion, tokens = build(spec), some()
    before = _numbers(fusion(tokens))
    for name in WIDTHS:
        changed = {**tokens, name: _with(tokens[name], lambda values: values * 1.5 + 0.5)}
        same = all(torch.equal(a, b) for a, b in zip(before, _numbers(fusion(changed)), strict=True))
        assert not same, f"the content of {name!r} changes nothing"


def rows_are_alone(spec: FusionSpec) -> None:
    """A row gives the same without the others and among others in another order."""
    fusion, tokens = build(spec), some()
    together = _numbers(fusion(tokens))
    num_rows = len(together[0])
    for rows in [[row] for row in range(num_rows)] + [list(reversed(range(num_rows)))]:
        for found, expected in zip(_numbers(fusion(_rows(tokens, rows))), together, strict=True):
            suite.assert_close(found, expected[rows], f"rows {rows} by themselves")


def padding_does_not_matter(spec: FusionSpec) -> None:
    """More hidden tokens at the end change nothing."""
    fusion, tokens = build(spec), some()
    longer = {name: _padded(value) for name, value in tokens.items()}
    for found, expected in zip(_numbers(fusion(longer)), _numbers(fusion(tokens)), strict=True):
        suite.assert_close(found, expected, "with longer padding")


def hidden_content_does_not_matter(spec: FusionSpec) -> None:
    """NaN or noise behind the mask changes no bit of the output or of any gradient."""
    fusion, tokens = build(spec), some()
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
    tokens = some()
    backward = dict(reversed(tokens.items()))
    straight = build(spec)(tokens)
    turned = suite.seeded(lambda: spec.build(dict(reversed(WIDTHS.items()))))(backward)
    for stream, fused in straight.items():
        assert stream in turned, f"stream {stream!r} depends on the order of inputs"
        for found, expected in zip(_numbers({stream: turned[stream]}), _numbers({stream: fused}), strict=True):
            suite.assert_same_bits(found, expected, "inputs in reverse order")


def weights_add_up_to_one(spec: FusionSpec) -> None:
    """In every row the streams' shares in the decision are at least 0 and add up to 1."""
    weights = torch.stack([fused.weight for fused in build(spec)(some()).values()])
    assert bool((weights >= 0).all()), "a weight is negative"
    suite.assert_close(weights.sum(dim=0), torch.ones(weights.shape[1]), "the sum of the weights")


def absent_streams_do_not_decide(spec: FusionSpec) -> None:
    """A stream that is absent from a row has weight exactly 0; some stream is present where some input is."""
    streams = build(spec)(some()).values()
    assert bool(torch.stack([fused.present for fused in streams]).any(dim=0).all()), "a row with inputs has no stream"
    for fused in streams:
        assert bool((fused.weight[~fused.present] == 0).all()), "an absent stream has a weight"


def a_row_without_inputs_is_finite(spec: FusionSpec) -> None:
    """Where every input is absent the streams are absent, finite, their weights add up to 1, and so are gradients."""
    fusion = build(spec)
    streams = fusion(_rows(_example(), [0]))
    assert not any(bool(fused.present.any()) for fused in streams.values()), "a stream is present in an empty row"
    assert all(bool(number.isfinite().all()) for number in _numbers(streams)), "an empty row is not finite"
    suite.assert_close(sum(f.weight for f in streams.values()), torch.ones(1), "the weights of an empty row")
    suite.projected(_numbers(streams)).backward()  # type: ignore[no-untyped-call]
    for name, parameter in fusion.named_parameters():
        finite = parameter.grad is None or bool(parameter.grad.isfinite().all())
        assert finite, f"the gradient of {name} from an empty row is not finite"


def gradients_are_right(spec: FusionSpec) -> None:
    """The gradient with respect to the tokens agrees with finite differences in float64."""
    fusion, tokens = build(spec).double(), _rows(some(), [0, 2, 6])
    values = [tokens[name].values.double().requires_grad_() for name in tokens]

    def run(*given: Tensor) -> tuple[Tensor, ...]:
        parts = zip(tokens.items(), given, strict=True)
        streams = fusion({name: Tokens(v, token.mask, token.present) for (name, token), v in parts})
        return tuple(fused.weight[:, None] * fused.pooled for fused in streams.values())

    assert torch.autograd.gradcheck(run, values, fast_mode=True), "the gradient is wrong"


def state_dict_is_all(spec: FusionSpec) -> None:
    """With the state of one, an operator built under another seed answers the same."""
    other: Fusion = suite.seeded(lambda: spec.build(WIDTHS), seed=1)
    suite.assert_state_is_all(build(spec), other, lambda module: _numbers(module(some())))


CHECKS: tuple[Callable[[FusionSpec], None], ...] = (
    spec_survives_json,
    streams_are_as_declared,
    every_parameter_learns,
    nothing_learns_unseen,
    every_input_matters,
    rows_are_alone,
    padding_does_not_matter,
    hidden_content_does_not_matter,
    the_order_of_inputs_does_not_matter,
    weights_add_up_to_one,
    absent_streams_do_not_decide,
    a_row_without_inputs_is_finite,
    gradients_are_right,
    state_dict_is_all,
)


def build(spec: FusionSpec) -> Fusion:
    """The operator for the example's inputs, seeded, in evaluation mode."""
    fusion: Fusion = suite.seeded(lambda: spec.build(WIDTHS))
    return fusion


def some() -> dict[str, Tokens]:
    """The rows of the example that have at least one input."""
    return _rows(_example(), list(range(1, 2 ** len(WIDTHS))))


def _example() -> dict[str, Tokens]:
    generator = torch.Generator().manual_seed(0)
    return {name: _tokens(name, bit, generator) for bit, name in enumerate(WIDTHS)}


def _tokens(name: str, bit: int, generator: torch.Generator) -> Tokens:
    num_rows, length = 2 ** len(WIDTHS), LENGTHS[name]
    present = torch.arange(num_rows) >> bit & 1 == 1
    lengths = torch.where(present, torch.randint(1, length + 1, (num_rows,), generator=generator), 1)
    mask = torch.arange(length) < lengths[:, None]
    values = torch.randn(num_rows, length, WIDTHS[name], generator=generator)
    values = torch.where(present[:, None, None], values, torch.full_like(values, 0.1 * (bit + 1)))
    return Tokens(values.masked_fill(~mask[:, :, None], 0.0), mask, present)


def _rows(tokens: dict[str, Tokens], rows: Sequence[int]) -> dict[str, Tokens]:
    index = torch.tensor(rows)
    return {name: Tokens(t.values[index], t.mask[index], t.present[index]) for name, t in tokens.items()}


def _with(tokens: Tokens, change: Callable[[Tensor], Tensor]) -> Tokens:
    changed = torch.where((tokens.present[:, None] & tokens.mask)[:, :, None], change(tokens.values), tokens.values)
    return Tokens(changed, tokens.mask, tokens.present)


def _padded(tokens: Tokens) -> Tokens:
    values = torch.cat([tokens.values, torch.zeros_like(tokens.values[:, :1]).expand(-1, 3, -1)], dim=1)
    mask = torch.cat([tokens.mask, torch.zeros_like(tokens.mask[:, :1]).expand(-1, 3)], dim=1)
    return Tokens(values, mask, tokens.present)


def _numbers(streams: Streams) -> list[Tensor]:
    return [number for stream in sorted(streams) for number in (streams[stream].pooled, streams[stream].weight)]


def _numbers_and_gradients(fusion: Fusion, tokens: dict[str, Tokens]) -> list[Tensor]:
    numbers = _numbers(fusion(tokens))
    gradients = torch.autograd.grad(suite.projected(numbers), list(fusion.parameters()), allow_unused=True)
    return [*numbers, *(gradient for gradient in gradients if gradient is not None)]
