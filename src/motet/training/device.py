"""Where a run computes: device, autocast, and what the machine offers. Nothing here runs at import."""

import contextlib
import os

import torch

from motet.core.errors import SpecError


def pick_device(wanted: str) -> torch.device:
    """The device for a `training.device` word; raises `SpecError` where it is not there.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise SpecError(f"training.device: {wanted!r} is not a device; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SpecError(f"training.device: {wanted!r} is not on this machine; use auto or cpu")
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 makes a step faster there: on GPUs that compute in it. CPUs mostly emulate it."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[object]:
    """The context of a forward pass in this precision."""
    if precision == "bfloat16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def num_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
