"""Finding objects in a picture: boxes with labels and scores."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells, Reader
from motet.tasks.base import Codec
from motet.tasks.detection.codec import DetectionCodec, objects_of
from motet.tasks.detection.head import DetectionHead
from motet.tasks.detection.precision import check_available
from motet.tasks.framed import framing_of
from motet.tasks.labels import count_labels
from motet.tasks.losses import labelled_loss
from motet.tasks.part import PartTask, Source, input_to_read

__all__ = ["Detection", "DetectionCodec", "DetectionHead"]


class Detection(PartTask):
    """Find objects in a picture: boxes with a label and a score.

    A label is a list of `{"label": "cup", "box": [x0, y0, x1, y1]}`, as JSON where the cell is text; an empty list says
    that there is nothing. loss = heat + 2 boxes (see `DetectionHead`). Anchor-free, so there are no anchors to choose.

    >>> Detection().reading({"photo": "image", "age": "number"}).reads
    ('photo',)
    """

    paper: ClassVar[str] = "Zhou, Wang, Kraehenbuehl, Objects as Points, 2019; Liu et al., TTFNet, AAAI 2020"
    metric_names: ClassVar[tuple[str, ...]] = ("map",)
    own_tokens: ClassVar[bool] = True
    reads_maps: ClassVar[bool] = True
    beside_input: ClassVar[bool] = True
    sized: ClassVar[bool] = True
    answers_are_labels: ClassVar[bool] = False

    kind: Literal["detection"] = "detection"
    of: str | None = Field(default=None, description="The picture; found by itself where there is one.")
    unit: Literal["pixels", "fractions"] = Field(
        default="pixels", description="In what boxes are given and answered: pixels of the file, or fractions of it."
    )
    width: int = Field(default=64, ge=4, description="Channels of the map in which objects are found.")
    stride: Literal[2, 4, 8, 16] = Field(
        default=4, description="How many pixels of the picture, as it is prepared, lie between two cells of that map."
    )
    most: int = Field(default=50, ge=1, le=100, description="Boxes that are answered for a picture, at most.")

    @property
    def reads(self) -> tuple[str, ...]:
        """The picture."""
        assert self.of is not None, "the inputs it reads are not written out"
        return (self.of,)

    def reading(self, kinds: Mapping[str, str]) -> Self:
        """With the picture by name."""
        return self.model_copy(update={"of": input_to_read(self.of, kinds, ("image",), word=self.kind, field="of")})

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> DetectionCodec:
        """Collect the labels; `DataError` where no training row has an object."""
        check_available()
        counts = count_labels(label for cell in cells for label in _labels(cell))
        if not counts:
            raise DataError("no training row has a box; name the right column, or leave the task out")
        return DetectionCodec(classes=tuple(counts), unit=self.unit, framing=framing_of(self.reads[0], readers))

    def restore(self, state: dict[str, Any]) -> DetectionCodec:
        """The codec of a bundle."""
        return DetectionCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """Itself: nothing is left to be found."""
        return self

    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> DetectionHead:
        """A head over the maps of the picture's encoder; `SpecError` where that has none."""
        assert isinstance(codec, DetectionCodec)
        source = sources[self.reads[0]]
        if not source.maps:
            raise SpecError(f"of: the encoder of {self.of!r} has no maps to find boxes in")
        return DetectionHead(
            input=self.reads[0],
            maps=source.maps,
            input_width=input_width,
            num_classes=len(codec.classes),
            width=self.width,
            stride=self.stride,
            most=self.most,
        )

    def loss(self, output: Float[Tensor, "B 2"], target: Cells) -> Float[Tensor, "B"]:
        """Heat and twice the boxes, of each labelled row."""
        return labelled_loss(lambda losses, _: losses[:, 0] + 2 * losses[:, 1], output, target)


def _labels(cell: object) -> list[object]:
    """The labels of a cell, alone or beside its picture; none where it can not be read."""
    found = cell[0] if isinstance(cell, tuple) and len(cell) == 2 else cell
    try:
        return [one["label"] for one in objects_of(found)]
    except CellError:
        return []
