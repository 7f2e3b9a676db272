"""What all operators that attend to tokens have in common, beyond what the suite asks of every operator."""

import math
from collections.abc import Callable

import pytest
import torch
from attention_by_hand import LENGTHS, WIDTHS, some_tokens
from torch import Tensor

from motet.core.errors import SpecError
from motet.core.flow import Tokens
from motet.fusion import Bottleneck, CoAttention, CrossAttention, Fusion, FusionSpec, Perceiver, Transformer
from motet.fusion.embed import sinusoids
from motet.nn import row_keys, salt_dropouts
from motet.nn.attention import attend

KINDS: list[Callable[..., FusionSpec]] = [CrossAttention, CoAttention, Bottleneck, Transformer, Perceiver]
every_kind = pytest.mark.parametrize("kind", KINDS)


def built(kind: Callable[..., FusionSpec], *, dropout: float = 0.0) -> Fusion:
    torch.manual_seed(0)
    return kind(width=8, heads=2, dropout=dropout).build(WIDTHS).double()


def vector(fusion: Fusion, tokens: dict[str, Tokens]) -> Tensor:
    return fusion(tokens)["joint"].pooled


def rows_of(tokens: dict[str, Tokens], *rows: int) -> dict[str, Tokens]:
    """These rows, cut to the longest of them."""
    found = {}
    for name, one in tokens.items():
        longest = int(one.mask[list(rows)].sum(dim=1).max())
        found[name] = Tokens(one.values[list(rows), :longest], one.mask[list(rows), :longest], one.present[list(rows)])
    return found


def changed(tokens: dict[str, Tokens], name: str, change: Callable[[Tensor], Tensor]) -> dict[str, Tokens]:
    one = tokens[name]
    return {**tokens, name: Tokens(change(one.values.clone()), one.mask, one.present)}


@every_kind
def test_nothing_behind_a_mask_or_in_an_absent_input_reaches_a_bit(kind: Callable[..., FusionSpec]) -> None:
    fusion, tokens = built(kind), some_tokens()

    def everything(given: dict[str, Tokens]) -> list[Tensor]:
        joint = fusion(given)["joint"]
        contexts = [one.values for one in (joint.tokens or {}).values()]
        parameters = list(fusion.parameters())
        return [joint.pooled, *contexts, *torch.autograd.grad(joint.pooled.square().sum(), parameters)]

    clean = everything(tokens)
    for filler in (float("nan"), 1e30):
        spoilt = {}
        for name, one in tokens.items():
            hidden = ~(one.mask & one.present[:, None])
            spoilt[name] = Tokens(one.values.masked_fill(hidden[:, :, None], filler), one.mask, one.present)
        assert all(torch.equal(a, b) for a, b in zip(everything(spoilt), clean, strict=True))


@every_kind
def test_a_row_drops_the_same_whoever_its_batch_mates_are(kind: Callable[..., FusionSpec]) -> None:
    """In training, with longer rows beside it, so with padding between and behind its inputs."""
    fusion, tokens = built(kind, dropout=0.5).train(), some_tokens()
    salt_dropouts(fusion, 0)
    keys = torch.arange(7) + 100
    with row_keys(keys):
        together = vector(fusion, tokens)
    with row_keys(keys + 1):
        assert not torch.allclose(vector(fusion, tokens), together)
    for row in range(7):
        with row_keys(keys[row : row + 1]):
            alone = vector(fusion, rows_of(tokens, row))
        torch.testing.assert_close(alone[0], together[row])


@every_kind
def test_other_rows_are_never_attended_to(kind: Callable[..., FusionSpec]) -> None:
    fusion, tokens = built(kind), some_tokens()
    before = vector(fusion, tokens)

    def others(values: Tensor) -> Tensor:
        values[1:] = -values[1:]
        return values

    after = before
    for name in WIDTHS:
        tokens = changed(tokens, name, others)
        after = vector(fusion, tokens)
    assert torch.equal(after[0], before[0])
    assert not bool((after[1:] == before[1:]).any())


@every_kind
def test_every_token_of_a_long_sequence_counts_beside_a_short_one(kind: Callable[..., FusionSpec]) -> None:
    fusion = built(kind)
    tokens = some_tokens(lengths={**LENGTHS, "review": 200})
    before = vector(fusion, tokens)[-1]
    for place in (0, 1, 100, 199):

        def one(values: Tensor, place: int = place) -> Tensor:
            values[-1, place] = -values[-1, place]
            return values

        assert (vector(fusion, changed(tokens, "review", one))[-1] - before).abs().max() > 1e-6


@every_kind
def test_the_order_within_an_input_counts(kind: Callable[..., FusionSpec]) -> None:
    fusion, tokens = built(kind), some_tokens()
    turned = changed(tokens, "review", lambda values: torch.cat([values[:, :5].flip(1), values[:, 5:]], dim=1))
    assert (vector(fusion, turned)[-1] - vector(fusion, tokens)[-1]).abs().max() > 1e-3


@every_kind
def test_attention_has_a_choice_even_between_inputs_of_one_token(kind: Callable[..., FusionSpec]) -> None:
    """Over a single key a softmax is 1, and the queries learn nothing."""
    fusion = built(kind)
    tokens = some_tokens(lengths=dict.fromkeys(WIDTHS, 1))
    vector(fusion, tokens).square().sum().backward()
    asking = {name: p.grad for name, p in fusion.named_parameters() if "query" in name and name.endswith("weight")}
    assert len(asking) >= 2
    for name, gradient in asking.items():
        assert gradient[: fusion.output_width].abs().max() > 1e-6, name


@every_kind
def test_contextualised_tokens_have_the_masks_they_came_with(kind: Callable[..., FusionSpec]) -> None:
    fusion, tokens = built(kind), some_tokens()
    found = fusion(tokens)["joint"].tokens
    if kind is Perceiver:
        assert found is None
        return
    assert sorted(found) == sorted(WIDTHS)
    for name, one in found.items():
        given = tokens[name]
        assert one.values.shape == (*given.mask.shape, fusion.output_width)
        assert torch.equal(one.mask, given.mask)
        assert torch.equal(one.present, given.present)
        real = given.mask & given.present[:, None]
        assert bool((one.values[~real] == 0).all())
        assert bool((one.values[real] != 0).all())


@every_kind
def test_heads_that_do_not_divide_the_width_are_refused(kind: Callable[..., FusionSpec]) -> None:
    with pytest.raises(SpecError, match=r"fusion\.heads: the 4 heads must divide the width, found 10; try .* 12"):
        kind(width=10).build(WIDTHS)


def test_sinusoids_by_hand() -> None:
    for width in (1, 6, 7):
        half = math.ceil(width / 2)
        for t, wave in enumerate(sinusoids(300, width).double()):
            angles = [t / 10_000 ** (i / half) for i in range(half)]
            expected = [*map(math.sin, angles), *map(math.cos, angles)][:width]
            torch.testing.assert_close(wave, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-4)


def test_attending_to_nothing_gives_zeros_and_no_gradient() -> None:
    query, key, value = (torch.randn(2, 3, 4, requires_grad=True) for _ in range(3))
    found = attend(query, key, value, torch.tensor([[True, False, False], [False] * 3]), heads=2)
    torch.testing.assert_close(found[0], value[0, :1].expand(3, -1))
    assert bool((found[1] == 0).all())
    for one in torch.autograd.grad(found.sum(), (query, key, value)):
        assert bool((one[1] == 0).all())
