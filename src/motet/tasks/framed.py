"""Pictures whose labels lie over them: what shifts and mirrors the one does the same to the other."""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from motet.core.errors import SpecError
from motet.core.flow import Reader
from motet.media import Framing


@runtime_checkable
class Framed(Protocol):
    """The preparation of an input whose every row is one picture of one size."""

    @property
    def framing(self) -> Framing:
        """The size, and how pictures are shifted and mirrored in training."""
        ...


def framing_of(name: str, readers: Mapping[str, Reader]) -> Framing:
    """How the picture of this name is framed; `SpecError` where a row has several."""
    reader = readers[name]
    if not isinstance(reader, Framed):
        raise SpecError(
            f"of: the rows of {name!r} have several pictures, and the labels lie over one; name an input with one "
            "picture per row"
        )
    return reader.framing
