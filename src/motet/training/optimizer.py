"""Optimiser and learning-rate schedule."""

import math

import torch
from torch import nn

from motet.nn import Paced
from motet.training.spec import TrainingSpec


def build_optimizer(network: nn.Module, spec: TrainingSpec) -> torch.optim.Optimizer:
    """The optimiser of a resolved spec; weight decay acts on parameters of two dimensions or more.

    These are the weights of layers, embeddings, and gains per place. Biases, norms, absent tokens and the parameters of
    balancers, of one dimension or none, are not decayed. What a `Paced` module says of its parameters stands in their
    group under `pace`.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    paces = {id(p): pace for module in network.modules() if isinstance(module, Paced) for p, pace in module.paces()}
    groups = [
        {
            "params": [p for p in parameters if (p.ndim > 1) == decayed and paces.get(id(p), 1.0) == pace],
            "weight_decay": spec.weight_decay if decayed else 0.0,
            "pace": pace,
        }
        for pace in sorted({1.0, *paces.values()}, reverse=True)
        for decayed in (True, False)
    ]
    groups = groups[:2] + [group for group in groups[2:] if group["params"]]
    rate = float(spec.learning_rate)
    if spec.optimizer == "sgd":
        # Not fused: that fails where a parameter gets its first gradient later than another, as a task labelled late.
        return torch.optim.SGD(groups, lr=rate, momentum=0.9, foreach=True)
    kind = torch.optim.AdamW if spec.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=rate, fused=True)


def rate_at(step: int, num_steps: int, spec: TrainingSpec) -> float:
    """The learning rate of step 0, 1, ... num_steps - 1: linear warm-up to the peak, then the schedule.

    Cosine (Loshchilov & Hutter, ICLR 2017, without restarts): `peak/2 (1 + cos(pi t))`, t the progress after warm-up.

    >>> spec = TrainingSpec(learning_rate=1.0, warmup=0.5, schedule="cosine")
    >>> [round(rate_at(step, 8, spec), 2) for step in range(8)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    peak, num_warmup = float(spec.learning_rate), round(spec.warmup * num_steps)
    if step < num_warmup:
        return peak * (step + 1) / num_warmup
    progress = min(1.0, (step - num_warmup) / max(1, num_steps - num_warmup))
    if spec.schedule == "constant":
        return peak
    if spec.schedule == "linear":
        return peak * (1 - progress)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use this rate in the next step, each group at its pace."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("pace", 1.0)
