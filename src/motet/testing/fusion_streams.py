"""What the streams of every fusion have to be: declared, finite, and of one mind about who decides. B rows."""

import torch

from motet.core.flow import Tokens
from motet.fusion.base import FusionSpec
from motet.testing import suite
from motet.testing.tokens import accepted, build, example, numbers, of_rows, some


def streams_are_as_declared(spec: FusionSpec) -> None:
    """`forward` returns the declared streams, `[B, output_width]` each."""
    fusion, tokens = build(spec), some(spec)
    found = fusion(tokens)
    assert sorted(found) == sorted(fusion.streams), f"declared {fusion.streams}, returned {tuple(found)}"
    for stream, fused in found.items():
        rows = len(tokens["age"].present)
        assert fused.pooled.shape == (rows, fusion.output_width), f"{stream}: pooled is {tuple(fused.pooled.shape)}"
        assert fused.present.shape == fused.weight.shape == (rows,), f"{stream}: present or weight is not [B]"


def contexts_are_sound(spec: FusionSpec) -> None:
    """Where a stream has `tokens`: each input's own masks, the stream's width, finite, and blind to what is hidden."""
    fusion, tokens = build(spec), some(spec)
    spoilt = {
        name: Tokens(value.values.masked_fill(~value.mask[:, :, None], float("nan")), value.mask, value.present)
        for name, value in tokens.items()
    }
    again = fusion(spoilt)
    for stream, fused in fusion(tokens).items():
        for name, context in (fused.tokens or {}).items():
            shape = (*tokens[name].mask.shape, fusion.output_width)
            assert context.values.shape == shape, f"{stream}: tokens of {name!r} are {tuple(context.values.shape)}"
            same = torch.equal(context.mask, tokens[name].mask) and torch.equal(context.present, tokens[name].present)
            assert same, f"{stream}: tokens of {name!r} have another mask"
            assert bool(context.values.isfinite().all()), f"{stream}: tokens of {name!r} are not finite"
            suite.assert_same_bits(again[stream].tokens[name].values, context.values, "tokens with NaN behind the mask")


def weights_add_up_to_one(spec: FusionSpec) -> None:
    """In every row the streams' shares in the decision are at least 0 and add up to 1."""
    weights = torch.stack([fused.weight for fused in build(spec)(some(spec)).values()])
    assert bool((weights >= 0).all()), "a weight is negative"
    suite.assert_close(weights.sum(dim=0), torch.ones(weights.shape[1]), "the sum of the weights")


def absent_streams_do_not_decide(spec: FusionSpec) -> None:
    """A stream that is absent from a row has weight exactly 0; some stream is present where some input is."""
    streams = build(spec)(some(spec)).values()
    assert bool(torch.stack([fused.present for fused in streams]).any(dim=0).all()), "a row with inputs has no stream"
    for fused in streams:
        assert bool((fused.weight[~fused.present] == 0).all()), "an absent stream has a weight"


def a_row_without_inputs_is_finite(spec: FusionSpec) -> None:
    """Where every input is absent the streams are absent, finite, their weights add up to 1, and so are gradients."""
    fusion = build(spec)
    streams = fusion(of_rows(example(accepted(spec)), [0]))
    assert not any(bool(fused.present.any()) for fused in streams.values()), "a stream is present in an empty row"
    assert all(bool(number.isfinite().all()) for number in numbers(streams)), "an empty row is not finite"
    suite.assert_close(sum(f.weight for f in streams.values()), torch.ones(1), "the weights of an empty row")
    suite.projected(numbers(streams)).backward()  # type: ignore[no-untyped-call]
    for name, parameter in fusion.named_parameters():
        finite = parameter.grad is None or bool(parameter.grad.isfinite().all())
        assert finite, f"the gradient of {name} from an empty row is not finite"
