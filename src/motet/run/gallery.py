"""The cells of a row as a person sees them in the report: small pictures, short sounds, texts."""

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from motet import media
from motet.core.checks import text_of
from motet.core.errors import CellError
from motet.data import Fence, Several, cells_of
from motet.evaluation import Shown
from motet.run.prepare import Fitted

if TYPE_CHECKING:
    from PIL import Image

LARGEST_SIDE = 160
LARGEST_SOUND = 200_000
LONGEST_TEXT = 300
MOST_PARTS = 4  # of the pictures that a row has several of


def shower(fitted: Fitted) -> Callable[[int], Sequence[Shown]]:
    """A function from a row of the table to its present input cells; one that can not be shown is left out."""
    sources = sources_of(fitted)

    def show(row: int) -> list[Shown]:
        shown = []
        for name, label, source in sources(row):
            try:
                shown.append(_shown(label, fitted.inputs[name][0].shown_as, source))
            except (CellError, OSError):
                continue
        return shown

    return show


def sources_of(fitted: Fitted) -> Callable[[int], Sequence[tuple[str, str, object]]]:
    """A function from a row of the table to its present input cells: input, label, and what its reader gets, part by
    part; what the fence refuses is left out.
    """
    columns, _ = fitted.columns
    fence = Fence(fitted.root)

    def sources(row: int) -> list[tuple[str, str, object]]:
        import numpy as np

        found = []
        for name, column in columns.items():
            cell = cells_of(
                fitted.table,
                column.names,
                rows=np.array([row]),
                missing=column.missing,
                separator=column.separator,
            )[0]
            for label, part in () if cell is None else _parts(name, cell):
                try:
                    source = fence.resolve(part, fitted.table.folder(row)) if column.media else part
                except (CellError, OSError):
                    continue
                found.append((name, label, source))
        return found

    return sources


def _parts(name: str, cell: object) -> list[tuple[str, object]]:
    """The first of several media under their own labels, or the cell under the input's name."""
    if not isinstance(cell, Several):
        return [(name, cell)]
    return list(zip(cell.labels, cell.parts, strict=True))[:MOST_PARTS]


def _shown(name: str, shown_as: str, source: object) -> Shown:
    if shown_as == "picture":
        return Shown(name, "picture", png_uri(thumbnail(source)))
    if shown_as == "sound":
        data = source.read_bytes() if isinstance(source, Path) else source
        if isinstance(data, bytes) and len(data) <= LARGEST_SOUND:
            return Shown(name, "sound", _uri(_sound_type(data), data))
        return Shown(name, "text", "a sound")
    text = ", ".join(map(text_of, source)) if isinstance(source, list) else text_of(source)
    return Shown(name, "text", text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 3] + "...")


def thumbnail(source: object) -> "Image.Image":
    """A small picture."""
    from PIL import Image

    pixels = media.image(source)
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return picture


def png_uri(picture: "Image.Image") -> str:
    """A picture as a data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return _uri("image/png", buffer.getvalue())


def _sound_type(data: bytes) -> str:
    starts = {b"RIFF": "audio/wav", b"OggS": "audio/ogg", b"fLaC": "audio/flac"}
    return starts.get(data[:4], "audio/mpeg")


def _uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
