"""Where the bytes of one media cell come from: a local regular file, or bytes in memory."""

import io
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from motet.core.errors import CellError


def stream(source: object) -> BinaryIO:
    """A binary stream of `source`: a path, bytes, or the `{"bytes", "path"}` dict of Hugging Face.

    Whoever calls closes it. Errors: `CellError` for a file that is missing, empty or not a regular file.
    """
    if isinstance(source, Mapping):
        source = source["bytes"] if source.get("bytes") is not None else source.get("path")
    if isinstance(source, (bytes, bytearray, memoryview)):
        if not len(source):
            raise CellError("the cell holds zero bytes")
        return io.BytesIO(source)
    if isinstance(source, (str, os.PathLike)):
        return _open(Path(source))
    raise CellError(f"expected a path or bytes, found {type(source).__name__}")


def several(cell: object) -> bool:
    """Whether a list holds media, each a path or bytes, rather than being one: an array written as lists of numbers.

    >>> several(["front.png", None]), several([[0, 255], [255, 0]])
    (True, False)
    """
    one = (str, os.PathLike, bytes, bytearray, memoryview, Mapping, type(None))
    return isinstance(cell, list) and all(isinstance(part, one) for part in cell)


def _open(path: Path) -> BinaryIO:
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer that never comes.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise CellError(f"the file can not be opened: {error.strerror or 'unknown reason'}") from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise CellError("not a regular file")
    if not found.st_size:
        os.close(handle)
        raise CellError("the file is empty")
    return os.fdopen(handle, "rb")
