"""Blocks: against independent references, and blind to what the mask hides."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motet.nn import (
    MLP,
    Attention,
    BidirectionalGRU,
    FrameBlock,
    FrameConv,
    ResidualBlock,
    StandardConv2d,
    Transformer,
    TransformerBlock,
    group_norm,
    hide,
    masked_mean,
)

MASK = torch.tensor([[True] * 3 + [False] * 3, [True] * 6])
SEQUENCE_BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "block": lambda: TransformerBlock(8, heads=2),
    "transformer": lambda: Transformer(8, layers=2, heads=2, longest=12),
    "gru": lambda: BidirectionalGRU(8, width=8),
    "frame block": lambda: FrameBlock(8, 8),
}


@pytest.fixture(params=SEQUENCE_BLOCKS)
def block(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return SEQUENCE_BLOCKS[request.param]().double()


def tokens() -> Tensor:
    return torch.randn(2, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("filler", [float("nan"), float("inf"), 1e9])
def test_what_the_mask_hides_changes_nothing(block: nn.Module, filler: float) -> None:
    x = tokens()
    poisoned = x.masked_fill(~MASK[:, :, None], filler)
    assert torch.equal(block(poisoned, MASK)[MASK], block(x, MASK)[MASK])


def test_padding_and_batch_mates_change_nothing(block: nn.Module) -> None:
    alone = block(tokens()[:1, :3], MASK[:1, :3])
    torch.testing.assert_close(block(tokens(), MASK)[:1, :3], alone, rtol=0, atol=1e-12)


def test_every_parameter_learns_from_finite_gradients(block: nn.Module) -> None:
    x = tokens().masked_fill(~MASK[:, :, None], float("nan"))
    torch.autograd.backward((block(x, MASK)[MASK] ** 3).sum())
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_a_row_with_an_empty_mask_stays_finite(block: nn.Module) -> None:
    x = tokens().fill_(float("nan")).requires_grad_()
    y = hide(block(x, torch.zeros_like(MASK)), torch.zeros_like(MASK))
    torch.autograd.backward(y.sum())
    assert (y == 0).all()
    for parameter in block.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


def test_tokens_of_a_row_see_one_another(block: nn.Module) -> None:
    x = tokens()
    moved = x.clone()
    moved[1, 3] *= -1
    assert not torch.allclose(block(moved, MASK)[1, 2], block(x, MASK)[1, 2])


def test_attention_equals_torch_multi_head_attention() -> None:
    ours, reference = Attention(8, heads=2).double(), nn.MultiheadAttention(8, 2, batch_first=True).double()
    with torch.no_grad():
        reference.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        reference.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
        reference.out_proj.load_state_dict(ours.output.state_dict())
    queries = tokens()[:, :4] * 2
    expected, _ = reference(queries, tokens(), tokens(), key_padding_mask=~MASK)
    torch.testing.assert_close(ours(queries, tokens(), MASK), expected)


def test_attention_over_nothing_answers_its_bias() -> None:
    attention = Attention(8, heads=2)
    x = torch.full((1, 3, 8), float("nan"))
    answer = attention(torch.randn(1, 2, 8), x, torch.zeros(1, 3, dtype=torch.bool))
    assert torch.equal(answer, attention.output.bias.expand(1, 2, 8))


def test_attention_refuses_heads_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="multiple of the number of heads"):
        Attention(8, heads=3)


def test_the_gru_equals_torch_bidirectional_gru_on_packed_rows() -> None:
    ours, reference = BidirectionalGRU(8, width=6).double(), nn.GRU(8, 3, batch_first=True, bidirectional=True).double()
    own = dict(ours.ahead.state_dict())
    own |= {f"{name}_reverse": value for name, value in ours.behind.state_dict().items()}
    reference.load_state_dict(own)
    packed = nn.utils.rnn.pack_padded_sequence(tokens(), MASK.sum(1), batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)
    torch.testing.assert_close(ours(tokens(), MASK), expected)


def test_masked_mean_by_hand_with_and_without_anything() -> None:
    values = torch.tensor([[[1.0, 4.0], [3.0, 8.0], [float("nan")] * 2], [[float("inf")] * 2] * 3], requires_grad=True)
    mean = masked_mean(values, torch.tensor([[True, True, False], [False] * 3]))
    assert mean.tolist() == [[2.0, 6.0], [0.0, 0.0]]
    torch.autograd.backward(mean.sum())
    assert values.grad is not None
    assert values.grad[:, :, 0].tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]


def test_the_mlp_by_hand() -> None:
    mlp = MLP(2, hidden=[3], output_width=1, norm=True).double()
    x = np.array([[1.0, -2.0]])
    weights = {name: value.detach().numpy() for name, value in mlp.named_parameters()}
    hidden = x @ weights["layers.0.weight"].T + weights["layers.0.bias"]
    hidden = (hidden - hidden.mean()) / np.sqrt(hidden.var() + 1e-5)
    gelu = nn.functional.gelu(torch.from_numpy(hidden)).numpy()
    expected = gelu @ weights["layers.3.weight"].T + weights["layers.3.bias"]
    np.testing.assert_allclose(mlp(torch.from_numpy(x)).detach().numpy(), expected)


@pytest.mark.parametrize(("stride", "size"), [((1, 1), (7, 5)), ((2, 2), (4, 3)), ((2, 1), (4, 5)), ((1, 2), (7, 3))])
def test_a_residual_block_shrinks_by_its_stride_rounded_up(stride: tuple[int, int], size: tuple[int, int]) -> None:
    block = ResidualBlock(4, 8, stride=stride)
    x = torch.randn(2, 4, 7, 5)
    assert block(x).shape == (2, 8, *size)
    torch.testing.assert_close(block(x)[:1], block(x[:1]), rtol=0, atol=1e-5)


def test_a_residual_block_of_silent_convolutions_is_its_shortcut() -> None:
    block = ResidualBlock(4, 4)
    nn.init.zeros_(block.second.weight)
    x = torch.randn(1, 4, 3, 3)
    assert torch.equal(block(x), x.relu())


def test_a_standardised_convolution_equals_a_convolution_with_filters_of_mean_zero_and_length_one() -> None:
    conv = StandardConv2d(3, 2, 3, stride=2, padding=1).double()
    filters = conv.weight.detach().numpy().reshape(2, 27)
    filters = filters - filters.mean(axis=1, keepdims=True)
    filters /= np.sqrt(27 * (filters.var(axis=1, keepdims=True) + 1e-6))
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    expected = F.conv2d(x, torch.from_numpy(filters).reshape(2, 3, 3, 3), conv.bias, stride=2, padding=1)
    torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(filters, axis=1), 1, rtol=1e-3)


def test_a_standardised_filter_without_contrast_is_silent_and_can_learn() -> None:
    conv = StandardConv2d(1, 1, 3, bias=False)
    nn.init.constant_(conv.weight, 0.3)
    y = conv(torch.arange(9.0).reshape(1, 1, 3, 3))
    torch.autograd.backward(y.sum())
    assert y.abs().max() < 1e-3
    assert conv.weight.grad is not None
    assert conv.weight.grad.isfinite().all()
    assert conv.weight.grad.abs().max() > 0


def test_a_frame_convolution_by_hand() -> None:
    conv = FrameConv(1, 2, kernel=3, stride=2).double()
    x, weight = torch.tensor([[[1.0], [2.0], [4.0]]]).double(), conv.conv.weight[:, 0]
    expected = torch.stack([weight @ torch.tensor([0.0, 1, 2]).double(), weight @ torch.tensor([2.0, 4, 0]).double()])
    torch.testing.assert_close(conv(x)[0], conv.norm(expected))


def test_groups_hold_four_channels_or_more() -> None:
    assert [group_norm(channels).num_groups for channels in (1, 7, 12, 32, 256)] == [1, 1, 3, 8, 8]
