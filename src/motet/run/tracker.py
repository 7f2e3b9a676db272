"""Curves for TensorBoard, when asked for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from motet.core.errors import SpecError

Watch = Callable[[int, Mapping[str, float]], None]


@contextmanager
def tracker(folder: Path, *, wanted: bool) -> Iterator[Watch]:
    """A function that takes curves by name at a step; it does nothing unless `wanted`."""
    if not wanted:
        yield lambda step, curves: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SpecError("training.tensorboard needs TensorBoard: pip install 'motet[track]'") from None
    writer = SummaryWriter(str(folder))

    def watch(step: int, curves: Mapping[str, float]) -> None:
        for name, value in curves.items():
            writer.add_scalar(name, value, step)

    try:
        yield watch
    finally:
        writer.close()
