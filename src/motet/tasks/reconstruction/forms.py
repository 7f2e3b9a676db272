"""What of a cell is to be said again, for each kind of input: an array of one size, or ids.

Shapes: H, W, C of a reduced picture; F frames, M bands, P parts of a sound; L ids.
"""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float32, Int64
from pydantic import Field

from motet import media
from motet.core.checks import text_of
from motet.core.component import Frozen
from motet.core.errors import CellError, SpecError
from motet.core.flow import Reader
from motet.tasks.labels import label_of
from motet.tasks.numbers import number_of
from motet.text import Tokenizer

EDGE = 0
"""The id a text ends with: that of the tokenizer's padding, which is in no text."""


class ArrayForm(Frozen, ABC):
    """A cell as an array of one size, in its own units; `mean` and `deviation` are those of its last dimension."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @abstractmethod
    def read(self, cell: object) -> Float32[np.ndarray, "..."]:
        """One cell -> one array; raises `CellError` with the reason."""

    def answer(self, array: np.ndarray) -> Any:
        """An array as a person can use it."""
        return array.tolist()


class IdsForm(Frozen, ABC):
    """A cell as ids below `num_ids`, at most `longest` of them; `ends` says whether their number varies."""

    ends: ClassVar[bool]

    @property
    @abstractmethod
    def num_ids(self) -> int:
        """How many different ids there are."""

    @property
    @abstractmethod
    def longest(self) -> int:
        """How many ids a cell has at most."""

    @abstractmethod
    def read(self, cell: object) -> Int64[np.ndarray, "L"]:
        """One cell -> its ids; raises `CellError` with the reason."""

    @abstractmethod
    def answer(self, ids: list[int]) -> Any:
        """What these ids stand for."""


class NumberForm(ArrayForm):
    """A number.

    >>> NumberForm(mean=(0.0,), deviation=(1.0,)).read("2.5").tolist()
    [2.5]
    """

    kind: Literal["number"] = "number"

    def read(self, cell: object) -> Float32[np.ndarray, "1"]:
        """The number, alone in its array."""
        return np.array([number_of(cell)], dtype=np.float64)

    def answer(self, array: np.ndarray) -> float:
        """The number."""
        return float(array[0])


class VectorForm(ArrayForm):
    """A vector: a list, an array, text with separators, or the `Path` of a `.npy` file (from Python only).

    >>> VectorForm(mean=(0.0, 0.0), deviation=(1.0, 1.0), separator="|").read("1|2.5").tolist()
    [1.0, 2.5]
    """

    kind: Literal["vector"] = "vector"
    separator: str

    def read(self, cell: object) -> Float32[np.ndarray, "W"]:
        """As many numbers as there are means."""
        if isinstance(cell, str):
            cell = cell.split(self.separator)
        if isinstance(cell, Path):
            cell = media.array(cell)
        if not isinstance(cell, list | tuple | np.ndarray) or np.ndim(cell) != 1 or len(cell) != len(self.mean):
            raise CellError(f"expected {len(self.mean)} numbers")
        return np.array([number_of(one) for one in cell], dtype=np.float64)


class PictureForm(ArrayForm):
    """A picture, reduced; `size` is its height and width then, `mean` and `deviation` are those of each channel.

    >>> form = PictureForm(mean=(0.0,), deviation=(1.0,), size=(2, 3))
    >>> form.read(np.full((8, 8, 3), 9, dtype=np.uint8)).shape
    (2, 3, 1)
    """

    kind: Literal["image"] = "image"
    size: tuple[int, int]

    def read(self, cell: object) -> Float32[np.ndarray, "H W C"]:
        """Decoded, grey (ITU-R 601 luma) or colour, and resized: bilinear, antialiased."""
        from PIL import Image

        if media.several(cell) or (isinstance(cell, tuple) and len(cell) != 1):
            raise CellError("expected one picture, found several")
        pixels = media.image(cell[0] if isinstance(cell, tuple) else cell)
        grey = len(self.mean) == 1
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("L" if grey else "RGB")
        reduced = np.array(picture.resize(self.size[::-1], Image.Resampling.BILINEAR))
        return reduced.reshape(*self.size, len(self.mean)).astype(np.float32)

    def answer(self, array: np.ndarray) -> bytes:
        """A PNG of the reduced picture."""
        from PIL import Image

        pixels, out = array.round().clip(0, 255).astype(np.uint8), io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(out, format="PNG")
        return out.getvalue()


class SoundForm(ArrayForm):
    """A sound: the mean log-mel spectrum of each of `parts` equal parts of its time; `mean` is that of each band.

    >>> form = SoundForm(mean=(0.0,) * 8, deviation=(1.0,) * 8, parts=4, rate=8000, seconds=1.0, window=200, hop=80)
    >>> form.read((np.zeros(800, dtype=np.float32), 8000)).shape
    (4, 8)
    """

    kind: Literal["audio"] = "audio"
    parts: int
    rate: int
    seconds: float
    window: int
    hop: int

    def read(self, cell: object) -> Float32[np.ndarray, "P M"]:
        """Decoded, resampled, cut off, log-mel, averaged; a part of fewer frames than one shares its frame."""
        samples, rate = media.sound(cell)
        samples = media.resample(samples, rate, self.rate)[: round(self.seconds * self.rate)]
        frames = media.log_mel(samples, rate=self.rate, window=self.window, hop=self.hop, mels=len(self.mean))
        count, parts = len(frames), range(self.parts)
        edges = [(part * count // self.parts, -(-(part + 1) * count // self.parts)) for part in parts]
        return np.stack([frames[start:end].mean(axis=0) for start, end in edges])


class CategoryForm(IdsForm):
    """A category: its number from 1, 0 for one that has none.

    >>> form = CategoryForm(categories=("blue", "red"))
    >>> form.read("red").tolist(), form.answer([1]), form.answer([0])
    ([2], 'blue', None)
    """

    ends: ClassVar[bool] = False
    kind: Literal["category"] = "category"
    categories: tuple[str, ...]

    @property
    def num_ids(self) -> int:
        """The categories, and what is none of them."""
        return 1 + len(self.categories)

    @property
    def longest(self) -> int:
        """One."""
        return 1

    def read(self, cell: object) -> Int64[np.ndarray, "1"]:
        """The number, alone in its array."""
        return np.array([self._number.get(text_of(label_of(cell)).strip(), 0)], dtype=np.int64)

    def answer(self, ids: list[int]) -> str | None:
        """The category; None for one that is none of them."""
        return self.categories[ids[0] - 1] if ids and ids[0] else None

    @cached_property
    def _number(self) -> dict[str, int]:
        return {category: number for number, category in enumerate(self.categories, start=1)}


class TextForm(IdsForm):
    """A text: the first `max_tokens` of its tokens, then the end.

    >>> form = TextForm(tokenizer=Tokenizer.train(["a b"], vocabulary=300, lowercase=True), max_tokens=9)
    >>> form.answer(form.read("A  b").tolist())
    'a b'
    """

    ends: ClassVar[bool] = True
    kind: Literal["text"] = "text"
    tokenizer: Tokenizer
    max_tokens: int

    @property
    def num_ids(self) -> int:
        """Those of the tokenizer; its padding is the end."""
        return self.tokenizer.size

    @property
    def longest(self) -> int:
        """All tokens and the end."""
        return self.max_tokens + 1

    def read(self, cell: object) -> Int64[np.ndarray, "L"]:
        """The ids and the end."""
        ids = self.tokenizer.encode(text_of(label_of(cell)))[: self.max_tokens]
        return np.append(ids.astype(np.int64), EDGE)

    def answer(self, ids: list[int]) -> str:
        """The text before the end."""
        return self.tokenizer.decode(id for id in ids if id > EDGE)


AnyArrayForm = Annotated[NumberForm | VectorForm | PictureForm | SoundForm, Field(discriminator="kind")]
AnyIdsForm = Annotated[CategoryForm | TextForm, Field(discriminator="kind")]
AnyForm = NumberForm | VectorForm | PictureForm | SoundForm | CategoryForm | TextForm


def form_of(reader: Reader, *, size: int) -> AnyForm:
    """What of an input prepared so is said again; `SpecError` for several pictures in a row.

    `size` is the longer side of a reduced picture, and the number of parts of a sound.
    """
    for field, make in _FORMS.items():
        if hasattr(reader, field):
            return make(reader, size)
    raise SpecError("of: rows with several pictures can not be reconstructed; name another input")


def _picture(reader: Any, size: int) -> PictureForm:
    height, width = reader.size
    factor = min(1.0, size / max(height, width))
    reduced = max(1, round(height * factor)), max(1, round(width * factor))
    return PictureForm(mean=reader.mean, deviation=reader.deviation, size=reduced)


def _sound(reader: Any, size: int) -> SoundForm:
    given = {name: getattr(reader, name) for name in ("mean", "deviation", "rate", "seconds", "window", "hop")}
    return SoundForm(parts=size, **given)


_FORMS: dict[str, Callable[[Any, int], AnyForm]] = {
    "tokenizer": lambda reader, size: TextForm(tokenizer=reader.tokenizer, max_tokens=reader.max_tokens),
    "categories": lambda reader, size: CategoryForm(categories=reader.categories),
    "mels": _sound,
    "channels": _picture,
    "centre": lambda reader, size: NumberForm(mean=(reader.centre,), deviation=(reader.scale,)),
    "separator": lambda reader, size: VectorForm(
        mean=reader.mean, deviation=reader.deviation, separator=reader.separator
    ),
}
"""By a field that tells a preparation from all others; an input that is prepared twice comes to the same."""
