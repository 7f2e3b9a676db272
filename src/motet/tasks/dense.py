"""What tasks that answer about every pixel of a picture have in common.

Shapes: B rows, D width of the features, H, W of the prepared picture, O what is said of a pixel before it is answered.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.core.errors import CellError, SpecError
from motet.core.flow import Cells
from motet.media import Framing, plane
from motet.nn.mapdecoder import MapDecoder
from motet.tasks.part import PartHead, PartTask, Reading, SizedCodec, Source, input_to_read

PIXELS_AT_ONCE = 1 << 22
"""So many pixels of several rows are answered in one go: what is said of each before it is answered takes memory."""


class DenseCodec(SizedCodec, ABC):
    """A number for every pixel of the prepared picture; in training it is framed as the picture is, draw for draw."""

    framing: Framing

    @property
    def varies(self) -> bool:
        """Whether the picture does."""
        return self.framing.varies

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Shifted and mirrored as the picture that is read under the same generator; beyond the edge, the edge."""
        return self.framing.draw(generator).of(item)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"target": [n, H, W]}`."""
        return {"target": torch.from_numpy(np.stack(items))}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        """Itself: an answer for a pixel has no interval."""
        return self

    def at_size(self, columns: dict[str, list[Any]], sizes: Sequence[tuple[int, int] | None]) -> dict[str, list[Any]]:
        """The answers stretched to the height and width of each row's own picture."""
        pairs = zip(columns[""], sizes, strict=True)
        return columns | {
            "": [one if one is None or size is None else self.stretched(one, size) for one, size in pairs]
        }

    @abstractmethod
    def stretched(self, answer: bytes, size: tuple[int, int]) -> bytes:
        """One answer at another size."""


class DenseHead(PartHead):
    """The maps of a picture's encoder, decoded to O numbers per pixel, of which `answered` makes the answer.

    `answered(said [B, O, H, W]) -> [B, H, W]`; a row without the picture is answered by `nothing` everywhere.
    """

    def __init__(self, decoder: MapDecoder, *, of: str, answered: Callable[[Tensor], Tensor], nothing: float) -> None:
        super().__init__()
        self.decoder, self.of = decoder, of
        self.answered, self.nothing = answered, nothing

    def forward(self, reading: Reading, target: Cells) -> Float[Tensor, "B O H W"]:
        """What is said of each pixel; the target is not looked at."""
        said: Tensor = self.decoder(reading.tokens[self.of].maps, reading.features)
        return said

    def answer(self, reading: Reading) -> Tensor:
        """`[B, H, W]`."""
        num_rows, at_once = len(reading.features), max(1, PIXELS_AT_ONCE // math.prod(self.decoder.size))
        if torch.compiler.is_compiling() or num_rows <= at_once:
            return self._answer(reading)
        rows = torch.arange(num_rows, device=reading.features.device)
        starts = range(0, num_rows, at_once)
        return torch.cat([self._answer(reading.rows(rows[start : start + at_once])) for start in starts])

    def start_from(self, prior: Float[Tensor, "O"]) -> None:
        """Say the prior of every pixel."""
        self.decoder.start_from(prior.reshape(-1))

    def _answer(self, reading: Reading) -> Tensor:
        tokens = reading.tokens[self.of]
        found = self.answered(self.decoder(tokens.maps, reading.features))
        return torch.where(tokens.present[:, None, None], found, torch.full_like(found, self.nothing))


class DenseTask(PartTask, ABC):
    """A task that says something of every pixel of an input of kind image with one picture per row."""

    paper: ClassVar[str] = "Ronneberger et al., U-Net, MICCAI 2015 (decoder)"
    media: ClassVar[bool] = True
    own_tokens: ClassVar[bool] = True
    reads_maps: ClassVar[bool] = True
    sized: ClassVar[bool] = True

    of: str | None = Field(default=None, description="The input of kind image whose pixels are labelled; the only one.")
    width: int = Field(
        default=32, ge=4, description="The fewest channels of a map on the way back up to the picture; most: 4 times."
    )

    @property
    def reads(self) -> tuple[str, ...]:
        """The picture."""
        assert self.of is not None
        return (self.of,)

    def reading(self, kinds: Mapping[str, str]) -> Self:
        """With the picture it reads written out."""
        of = input_to_read(self.of, kinds, ("image",), word=self.word(), field="of")
        return self.model_copy(update={"of": of})

    def head(
        self,
        input_width: int,
        sources: Mapping[str, Source],
        framing: Framing,
        *,
        outputs: int,
        answered: Callable[[Tensor], Tensor],
        nothing: float,
    ) -> DenseHead:
        """A head that says so many numbers of each pixel."""
        (name,) = self.reads
        maps = sources[name].maps
        if not maps:
            raise SpecError(f"of: the encoder of {name!r} has no maps that a {self.word()} task could read")
        decoder = MapDecoder(maps, features=input_width, width=self.width, outputs=outputs, size=framing.size)
        return DenseHead(decoder, of=name, answered=answered, nothing=nothing)


def planes(cells: Iterable[object]) -> Iterator[np.ndarray]:
    """The cells that can be read as planes of numbers, read."""
    for cell in cells:
        try:
            yield plane(cell)
        except CellError:
            continue
