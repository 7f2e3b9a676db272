"""Noise as large as the gradient: what an encoder loses by a smaller gradient, and more, it gets back as chance."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from motet.core import seed


def add_noise(parameters: Mapping[str, Sequence[nn.Parameter]], factors: Mapping[str, float], *, key: int) -> None:
    """Add `N(0, std(g)^2)` to the gradient of each parameter, g being the gradient before it was scaled.

    Peng et al., CVPR 2022 (GE): `std` is over the numbers of one parameter; a parameter with a single number has none,
    and one without a gradient stays without. `parameters[input]` are those of an input's encoder and `factors[input]`
    is by what their gradient was scaled. Drawn on the CPU for `key` and the input, so every process and device draws
    the same. Inputs that share an encoder get noise once, as if scaled by the largest of their factors: it is never
    larger than the undamped gradient.

    >>> weight = nn.Parameter(torch.zeros(2))
    >>> weight.grad = torch.tensor([-1.0, 1.0])
    >>> add_noise({"photo": [weight]}, {}, key=0)
    >>> weight.grad.tolist() == [-1.0, 1.0]
    False
    """
    largest: dict[int, float] = {}
    for name, own in parameters.items():
        for one in own:
            largest[id(one)] = max(largest.get(id(one), 0.0), factors.get(name, 1.0))
    done: set[int] = set()
    for name in sorted(parameters):
        chance = torch.Generator().manual_seed(seed.key(key, "noise", name))
        for parameter in parameters[name]:
            gradient = parameter.grad
            if gradient is None or gradient.numel() < 2 or id(parameter) in done:
                continue
            done.add(id(parameter))
            drawn = torch.randn(gradient.shape, generator=chance).to(gradient)
            gradient.add_(drawn * (gradient.std() / largest[id(parameter)]))
