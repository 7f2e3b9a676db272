"""The Spec of tasks that say again what an input holds."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells, Reader
from motet.tasks.base import Codec
from motet.tasks.losses import labelled_loss
from motet.tasks.part import PartHead, PartTask, Source, input_to_read
from motet.tasks.reconstruction.arrayforms import ArrayForm
from motet.tasks.reconstruction.arrays import ArrayCodec
from motet.tasks.reconstruction.forms import AnyForm, form_of
from motet.tasks.reconstruction.head import ArrayHead, IdsHead
from motet.tasks.reconstruction.idforms import HIDDEN
from motet.tasks.reconstruction.ids import IdsCodec

ABLE = ("audio", "category", "image", "number", "text", "vector")
CELLS_SAMPLED = 256


class Reconstruction(PartTask):
    """Say what an input holds: an auto-encoder, and where the input is absent, what the others make of it.

    The features of the row are all that is read, so that an input has to pass through them (a bottleneck). A row whose
    input was taken away in training (`drop`) has its label still, and is learned from by what the others say. What the
    preparation hides in training, tokens of a text or parts of a spectrogram, is asked for whole (denoising: Vincent et
    al., ICML 2008).

        number, vector, image, audio:  loss = mean of (z - y)^2 over the values, y the standardised cell
        category, text:                loss = mean of -log p_t(y_t) over the places, p_t a softmax over all ids

    A picture is asked for reduced, in the view training has of it (shifted, enlarged, mirrored) and in its own light,
    whatever the preparation does to that (`jitter`); a sound as the mean spectra of equal parts of its time.
    `read: tokens` is masked modelling of a text: each place is told from its own token and the features. Deviation from
    BERT (Devlin et al., NAACL 2019): all places are asked for, not those alone that were hidden; whole texts, as they
    are scored, are then all but copied, and mse says little.

    >>> task = Reconstruction().reading({"age": "number"})
    >>> task.reads, task.label_from
    (('age',), 0)
    """

    metric_names: ClassVar[tuple[str, ...]] = ("mse",)
    own_tokens: ClassVar[bool] = True
    needs_all: ClassVar[bool] = False
    answers_are_labels: ClassVar[bool] = False
    paper: ClassVar[str] = (
        "Vincent et al., Extracting and Composing Robust Features with Denoising Autoencoders, ICML 2008"
    )

    kind: Literal["reconstruction"] = "reconstruction"
    of: str | None = Field(default=None, description="The input; left out where there is just one.")
    read: Literal["features", "tokens"] = Field(
        default="features", description="What it is told from: the row's features, or of a text its tokens as well."
    )
    width: int = Field(default=128, ge=1, description="Width of the hidden layers.")
    layers: int = Field(default=1, ge=0, description="Hidden layers; 0: a linear map. Categories and texts have one.")
    size: int = Field(
        default=16, ge=1, description="Longer side of the reduced picture; how many parts a sound is cut into."
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout of the hidden layers.")

    @model_validator(mode="after")
    def _labels_are_the_input(self) -> Self:
        if self.column is not None or self.missing:
            raise ValueError(
                "a reconstruction has no column of labels: they are the cells of the input that `of` names"
            )
        return self

    @property
    def label_from(self) -> int:
        """The only input."""
        return 0

    @property
    def reads(self) -> tuple[str, ...]:
        """The input: for its labels, and with `read: tokens` for its tokens."""
        assert self.of is not None, "`reading` says which inputs there are"
        return (self.of,)

    def reading(self, kinds: Mapping[str, str]) -> Self:
        """With the input written out; only texts are told from tokens."""
        able = ("text",) if self.read == "tokens" else ABLE
        return self.model_copy(update={"of": input_to_read(self.of, kinds, able, word=self.kind, field="of")})

    def known(self, present: Mapping[str, Bool[Tensor, "B"]]) -> Bool[Tensor, "B"]:
        """Every row, the features of an absent input's being those of the others; those with tokens to read."""
        (there,) = present.values()
        return there if self.read == "tokens" else torch.ones_like(there)

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> ArrayCodec | IdsCodec:
        """As the input was prepared; at least one cell has to be readable.

        Mean and deviation of reduced pictures and sounds are those of up to 256 cells, evenly spread.
        """
        form, cells = form_of(readers[self.reads[0]], size=self.size), list(cells)
        items = _readable(form, _spread(cells)) or _readable(form, cells)[:CELLS_SAMPLED]
        if not items:
            raise DataError("no training row has a cell that can be read: there is nothing to learn")
        return ArrayCodec(form=form.fitted(items)) if isinstance(form, ArrayForm) else IdsCodec(form=form)

    def restore(self, state: dict[str, Any]) -> ArrayCodec | IdsCodec:
        """The codec of a bundle."""
        return (ArrayCodec if "mean" in state["form"] else IdsCodec).model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """Nothing here is "auto"."""
        return self

    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> PartHead:
        """A head for arrays or for ids."""
        if isinstance(codec, ArrayCodec):
            hidden = [self.width] * self.layers
            return ArrayHead(input_width, shape=codec.form.shape, hidden=hidden, dropout=self.dropout)
        assert isinstance(codec, IdsCodec)
        return IdsHead(
            input_width,
            num_ids=codec.form.num_ids,
            longest=codec.form.longest,
            ends=codec.form.ends,
            width=self.width,
            tokens=sources[self.reads[0]].width if self.read == "tokens" else None,
            dropout=self.dropout,
        )

    def loss(self, output: Float[Tensor, "B ..."], target: Cells) -> Float[Tensor, "B"]:
        """The mean over each labelled row's values or places."""
        wanted = target.values["target"]
        return labelled_loss(_squared if wanted.is_floating_point() else _mean_over_places, output, target)


def _squared(output: Tensor, label: Tensor) -> Tensor:
    return (output - label) ** 2


def _mean_over_places(output: Tensor, label: Tensor) -> Tensor:
    asked = label[:, : output.shape[1]] != HIDDEN
    return torch.where(asked, output, 0.0).sum(dim=1) / asked.sum(dim=1).clamp(min=1)


def _spread(cells: Sequence[object]) -> list[object]:
    count = min(len(cells), CELLS_SAMPLED)
    return [cells[int(place)] for place in np.linspace(0, len(cells) - 1, count)]


def _readable(form: AnyForm, cells: Iterable[object]) -> list[np.ndarray]:
    items = []
    for cell in cells:
        try:
            items.append(form.read(cell))
        except CellError:
            continue
    return items
