"""Random numbers that are a function of a key: the same row draws the same, whoever its batch mates are.

Plain int64 arithmetic, wrapping, so a CPU and a GPU agree bit for bit.
Shapes: N rows, C draws per row.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from motet.core import seed

_row_keys: ContextVar[Tensor | None] = ContextVar("row_keys", default=None)
_seen_by_the_compiler = threading.local()
"""The same keys, as `keys`, where `torch.compile` can read them: it knows no ContextVar."""


@contextmanager
def row_keys(keys: Int64[Tensor, "N"] | None) -> Iterator[None]:
    """Within this block the rows of every tensor that meets keyed dropout have these keys, in this order.

    None takes the keys of an outer block away: chance is then drawn in turn, as torch does.

    Blocks nest: an encoder that sees only some rows runs inside a block with the keys of those.

    >>> with row_keys(torch.tensor([3, 4])):
    ...     current_row_keys()
    tensor([3, 4])
    """
    token, _seen_by_the_compiler.keys = _row_keys.set(keys), keys
    try:
        yield
    finally:
        _row_keys.reset(token)
        _seen_by_the_compiler.keys = _row_keys.get()


def current_row_keys() -> Int64[Tensor, "N"] | None:
    """The keys of the innermost block, or None outside of one."""
    return getattr(_seen_by_the_compiler, "keys", None) if torch.compiler.is_compiling() else _row_keys.get()


def keys_of(rows: Int64[Tensor, "N"], *parts: str | int) -> Int64[Tensor, "N"]:
    """A key for each row: of its number in the table and of `parts`, for example the seed and the step.

    >>> bool((keys_of(torch.tensor([5, 9]), 0, 1)[1] == keys_of(torch.tensor([9]), 0, 1)[0]).item())
    True
    """
    return _mix(rows + seed.key(*parts))


def uniform(keys: Int64[Tensor, "N"], *, salt: int, count: int) -> Float[Tensor, "N count"]:
    """`count` numbers in [0, 1) for each key, multiples of 2^-24; `salt` tells the users of one key apart.

    >>> uniform(torch.tensor([1, 2]), salt=7, count=3).shape
    torch.Size([2, 3])
    """
    bits = _mix(_hash(keys, salt=salt, count=count))
    return ((bits >> 40) + 2**23).to(torch.float32) / 2**24


def bernoulli(keys: Int64[Tensor, "N"], *, salt: int, count: int, probability: float) -> Bool[Tensor, "N count"]:
    """`count` draws for each key, True with this probability, at five cheap operations per draw.

    >>> bernoulli(torch.tensor([1]), salt=0, count=4, probability=0.0)
    tensor([[False, False, False, False]])
    """
    if probability >= 1:
        return torch.ones(len(keys), count, dtype=torch.bool, device=keys.device)
    threshold = int(probability * 2**64) - 2**63
    return _hash(keys, salt=salt, count=count) < threshold


def _hash(keys: Int64[Tensor, "N"], *, salt: int, count: int) -> Int64[Tensor, "N count"]:
    """Bits for (key, salt, index): mixing is done per key and per index, the product of both is mixed once more."""
    index = torch.arange(count, device=keys.device)
    rows = _mix(keys + _signed(salt * 0x9E3779B97F4A7C15)) | 1
    columns = _mix(index ^ _signed(salt * 0xD6E8FEB86659FD93)) | 1
    bits = rows[:, None] * columns
    bits ^= bits >> 32  # fills with the sign, which here is one operation cheaper and, before a product, as good
    bits *= _signed(0xD6E8FEB86659FD93)
    return bits


def _mix(bits: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """One step of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014) from this state."""
    bits = bits + _signed(0x9E3779B97F4A7C15)
    bits = (bits ^ _shifted(bits, 30)) * _signed(0xBF58476D1CE4E5B9)
    bits = (bits ^ _shifted(bits, 27)) * _signed(0x94D049BB133111EB)
    return bits ^ _shifted(bits, 31)


def _shifted(bits: Int64[Tensor, "*shape"], by: int) -> Int64[Tensor, "*shape"]:
    """A right shift that fills with zeros."""
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _signed(number: int) -> int:
    """The int64 that has these 64 bits."""
    return (number + 2**63) % 2**64 - 2**63
