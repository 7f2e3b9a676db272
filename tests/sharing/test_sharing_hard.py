"""Hard sharing against the same layers in plain PyTorch."""

import torch
from torch import nn

from motet.nn import row_keys
from motet.sharing import Hard, HardSharing


def test_the_trunk_is_linear_norm_gelu() -> None:
    torch.manual_seed(0)
    sharing = HardSharing(6, width=8, layers=2)
    first, norm, _, second = sharing.layers[0].layers
    x = torch.randn(3, 6)
    hidden = nn.functional.gelu(norm(first(x)))
    expected = nn.functional.gelu(sharing.layers[1](second(hidden)))
    torch.testing.assert_close(sharing.trunk(x), expected)


def test_every_task_gets_the_very_same_features() -> None:
    sharing = Hard(width=8).build(6, tasks=("a", "b"))
    shared = sharing.trunk(torch.randn(3, 6))
    features = sharing.branch({"a": shared, "b": shared})
    assert features["a"] is shared
    assert features["b"] is shared
    assert sharing.penalties() == {}


def test_layers_and_width_count() -> None:
    assert Hard(width=8, layers=3).build(6, tasks=("a",)).output_width == 8
    num_linear = [
        sum(isinstance(module, nn.Linear) for module in Hard(layers=layers).build(6, tasks=("a",)).modules())
        for layers in (1, 2, 3)
    ]
    assert num_linear == [1, 2, 3]


def test_dropout_is_drawn_per_row() -> None:
    sharing, x = HardSharing(6, width=16, layers=2, dropout=0.5), torch.randn(4, 6)
    with row_keys(torch.arange(4)):
        together = sharing.trunk(x)
    with row_keys(torch.tensor([3])):
        alone = sharing.trunk(x[3:])
    assert bool((together == 0).any())
    torch.testing.assert_close(alone, together[3:])
