"""Arrays from `.npy` files: never pickled objects, never more bytes than the cap."""

from pathlib import Path

import numpy as np

from motet.core.errors import CellError
from motet.media.source import stream

MAX_BYTES = 1 << 30


def array(path: Path | str) -> np.ndarray:
    """The array a `.npy` file holds, in memory.

    Errors: `CellError` for a file that is missing, damaged, larger than 1 GiB, or that holds Python objects.
    """
    stream(path).close()  # a local regular file that is not empty
    try:
        # Mapping first: it checks the shape in the header against the file before anything is allocated.
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:
        raise CellError("not a whole .npy array of plain numbers") from None
    if not isinstance(mapped, np.ndarray) or mapped.dtype.hasobject:
        raise CellError("not a .npy array of plain numbers")
    if mapped.nbytes > MAX_BYTES:
        raise CellError(f"{mapped.nbytes} bytes, more than the {MAX_BYTES} allowed")
    return np.array(mapped)
