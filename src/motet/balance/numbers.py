"""Numbers kept by name from step to step, so that a resumed run goes on with the same ones."""

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.nn.named import escape


class Numbers(nn.Module):
    """N numbers for each name, in float64; in `state_dict` each row stands under its own name.

    >>> numbers = Numbers(["b", "a"], start=(0.0, 1.0))
    >>> numbers["a"].add_(1.0)
    tensor([1., 2.], dtype=torch.float64)
    >>> numbers.lists()
    {'a': [1.0, 2.0], 'b': [0.0, 1.0]}
    """

    def __init__(self, names: Iterable[str], *, start: Sequence[float]) -> None:
        super().__init__()
        self._keys = {name: escape(name) for name in sorted(names)}
        for key in self._keys.values():
            self.register_buffer(key, torch.tensor(start, dtype=torch.float64))

    def __getitem__(self, name: str) -> Float[Tensor, "N"]:
        """The row of this name itself: change it in place."""
        return cast(Tensor, self._buffers[self._keys[name]])  # `get_buffer` takes ten times as long

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def put(self, names: Sequence[str], rows: Float[Tensor, "K N"]) -> None:
        """New rows for these names, at the price of one."""
        kept = [self[name] for name in names]
        torch._foreach_copy_(kept, list(rows.to(kept[0]).unbind()))

    def lists(self) -> dict[str, list[float]]:
        """Every row, with one look at the device."""
        rows: list[list[float]] = torch.stack([self[name] for name in self._keys]).tolist()
        return dict(zip(self._keys, rows, strict=True))


class Means(nn.Module):
    """The mean, for each name, of what was added since the last `clear`; numbers that are not finite are left out.

    >>> means = Means(["a", "b"])
    >>> means.add("a", torch.tensor([1.0, 3.0, float("nan"), 9.0]), torch.tensor([True, True, True, False]))
    >>> means.found()
    {'a': 2.0}
    """

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.sums = Numbers(names, start=(0.0, 0.0))

    def add(self, name: str, values: Float[Tensor, "N"], counted: Bool[Tensor, "N"]) -> None:
        """Take in those that count."""
        kept = counted & values.isfinite()
        total = torch.where(kept, values.detach().double(), 0.0).sum()
        self.sums[name].add_(torch.stack([total, kept.sum().double()]))

    def found(self) -> dict[str, float]:
        """The means there are: of the names for which anything was added."""
        return {name: total / count for name, (total, count) in self.sums.lists().items() if count}

    def clear(self) -> None:
        """Begin anew."""
        for name in self.sums:
            self.sums[name].zero_()
