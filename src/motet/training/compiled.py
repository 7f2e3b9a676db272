"""Encoders through `torch.compile`."""

import os
import shutil

from motet.core.errors import SpecError
from motet.model.network import Network

BACKEND = "inductor"
"""What `torch.compile` hands the graphs to."""


def compile_encoders(network: Network, *, backend: str | None = None) -> None:
    """Let every encoder be compiled when it is first called; names in `state_dict` stay what they are.

    An encoder sees as many rows as have its input, so graphs are made for any number of rows. What is around them is
    not compiled: which rows there are, modality dropout, and the junction, to which one compiled encoder is one node of
    the graph that leads to its parameters. Two settings of torch, which hold for the whole process, go with that. A
    graph keeps what it needs for a second pass backward (`donated_buffer`), since at the parameters there is one for
    each task; and it may be made anew as often as there are layers that drop (`recompile_limit`).

    Raises `SpecError` where there is no C++ compiler for a CPU.
    """
    import torch._dynamo
    import torch._functorch.config

    backend = backend or BACKEND
    device = next(network.parameters()).device
    compilers = (os.environ.get("CXX"), "g++", "clang++", "c++", "cl")
    if backend == "inductor" and device.type == "cpu" and not any(map(shutil.which, filter(None, compilers))):
        raise SpecError("training.compile: needs a C++ compiler, and none was found; install one, or leave compile out")
    torch._functorch.config.donated_buffer = False
    num_modules = sum(1 for _ in network.encoders.modules())
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, num_modules)
    for _, one in network.encoders.items():
        one.encoder.compile(backend=backend, dynamic=True)
