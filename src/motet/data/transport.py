"""A batch from one process to another: one block of anonymous shared memory, handed over as a file descriptor.

Nothing is pickled, and nothing has a name, so nothing stays behind when either process is killed.
"""

import contextlib
import json
import mmap
import os
import tempfile
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

import numpy as np
import torch
from torch import Tensor

from motet.core.flow import Batch, Cells

_ALIGNMENT = 64


def send_batch(connection: Connection, batch: Batch, *, receiver: int) -> None:
    """Send a batch to the process with this id, which calls `receive_batch`."""
    arrays = _arrays(batch)
    offsets, size = [], 0
    for _, array in arrays:
        offsets.append(size)
        size += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT
    layout = [
        [*place, str(array.dtype), list(array.shape), offset]
        for (place, array), offset in zip(arrays, offsets, strict=True)
    ]
    with _anonymous(size) as (handle, memory):
        for (_, array), offset in zip(arrays, offsets, strict=True):
            np.frombuffer(memory, array.dtype, array.size, offset)[:] = array.reshape(-1)
        connection.send_bytes(json.dumps({"layout": layout, "size": size}).encode())
        send_handle(connection, handle, receiver)


def receive_batch(connection: Connection, header: Mapping[str, Any]) -> Batch:
    """The batch whose header, the JSON that came just before, was read already."""
    handle = recv_handle(connection)
    try:
        memory = mmap.mmap(handle, header["size"])
    finally:
        os.close(handle)
    columns: dict[str, dict[str, dict[str, Tensor]]] = {"inputs": {}, "targets": {}, "rows": {"": {}}}
    for side, column, name, dtype, shape, offset in header["layout"]:
        array = np.frombuffer(memory, np.dtype(dtype), int(np.prod(shape)), offset).reshape(shape)
        columns[side].setdefault(column, {})[name] = torch.from_numpy(array)
    inputs, targets = (
        {
            column: Cells({k: v for k, v in found.items() if k != ""}, found[""])
            for column, found in columns[side].items()
        }
        for side in ("inputs", "targets")
    )
    rows = columns["rows"][""]
    return Batch(inputs, targets, rows[""], weights=rows.get("weights"))


def _arrays(batch: Batch) -> list[tuple[tuple[str, str, str], np.ndarray]]:
    """Every tensor with its place; the name "" stands for `present`, and for the rows."""
    arrays = [(("rows", "", ""), batch.rows.numpy())]
    arrays += [] if batch.weights is None else [(("rows", "", "weights"), batch.weights.numpy())]
    for side, columns in (("inputs", batch.inputs), ("targets", batch.targets)):
        for column, cells in columns.items():
            arrays.append(((side, column, ""), cells.present.numpy()))
            arrays += [((side, column, name), value.contiguous().numpy()) for name, value in cells.values.items()]
    return arrays


@contextlib.contextmanager
def _anonymous(size: int) -> Any:
    """(descriptor, mapping) of nameless memory, on Linux outside of the often tiny /dev/shm."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("motet-batch")
    else:
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    try:
        os.ftruncate(handle, size)
        memory = mmap.mmap(handle, size)
        yield handle, memory
    finally:
        os.close(handle)
