"""What the user writes of a series, how it is fitted, and which encoder reads it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import numpy as np
from pydantic import BeforeValidator, Field, PositiveInt, model_validator
from torch import nn

from motet.core.component import shorthand
from motet.core.errors import DataError, SpecError
from motet.core.labels import list_in
from motet.inputs.base import Encoder, InputSpec, Preparation, readable, spread
from motet.inputs.series.cell import Form, Steps
from motet.inputs.series.encoder import CNNLayers, SeriesCNNEncoder, SeriesTransformerEncoder, halvings_of
from motet.inputs.series.place import NumberedPlaces, TimedPlaces
from motet.inputs.series.preparation import SeriesPreparation, clock_of, scales_of
from motet.inputs.text.encoder import TransformerLayers
from motet.inputs.vocabulary import Vocabulary

LONGEST = 1024
"""Of an "auto" length."""
SERIES_SAMPLED = 4096

AnySeriesEncoder = Annotated[
    Annotated[CNNLayers | TransformerLayers, Field(discriminator="kind")], BeforeValidator(shorthand)
]


class _WhereFiles:
    """Whether cells of text are paths, which the data room asks of the Spec as `media`: as its field `files` says."""

    def __get__(self, spec: "Series | None", owner: type) -> bool:
        return spec is not None and spec.files


class Series(InputSpec):
    """Numbers or labels step by step, in order or not, at even times or any: a small CNN or a transformer.

    A cell is a list of steps, each a number or a list of them (channels), as text in JSON too, or text with separators;
    with `files` the path of a `.npy` array `[T]` or `[T, C]`. Several columns hold one step each where they hold
    numbers, and one channel each where they hold lists. A number that is missing (null, NaN) is no bad cell: the step
    has the others. An empty series is present: one step in which nothing is seen.
    """

    kind: Literal["series"] = "series"
    paper: ClassVar[str] = "Kazemi et al., Time2Vec, 2019; Shukla and Marlin, Multi-Time Attention Networks, ICLR 2021"
    media: ClassVar[bool] = cast(bool, _WhereFiles())
    values: Literal["numbers", "categories"] = Field(
        default="numbers", description="What steps hold: numbers, or categories, each with a learned vector."
    )
    times: bool | str = Field(
        default=False,
        description="true: each step is a list that starts with its time; or which of the `columns` has the times, as "
        "numbers or dates. false: steps are as far from each other as their numbers.",
    )
    order: bool = Field(default=True, description="false: points in no order, such as [x, y, speed].")
    files: bool = Field(default=False, description="Cells of text are the paths of .npy files.")
    separator: str = Field(
        default="|", min_length=1, description="What stands between the steps where the cell is text."
    )
    max_steps: PositiveInt | Literal["auto"] = Field(
        default="auto",
        description="How many steps are kept, the last ones; auto: as many as the longest training series has, at most "
        "1024.",
    )
    most: int = Field(
        default=1000,
        ge=1,
        description="So many labels have a vector of their own at most: those in most rows, and in two or more.",
    )
    jitter: float = Field(
        default=0.0, ge=0, description="Noise added to numbers in training, in deviations of their channel."
    )
    encoder: AnySeriesEncoder | Literal["auto"] = Field(
        default="auto",
        description="cnn or transformer, by its name or with its fields; auto: cnn, without order transformer.",
    )
    width: int = Field(default=64, ge=1, description="Width of the tokens.")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout before the last layer, and within blocks.")

    @model_validator(mode="after")
    def _fields_go_together(self) -> Self:
        if not self.order and self.times is not False:
            raise ValueError("points in no order have no times: leave out `times`, or make the time one of the numbers")
        if not self.order and self.values == "categories":
            raise ValueError("categories in no order are a set: {kind: set}")
        if not self.order and isinstance(self.encoder, CNNLayers):
            raise ValueError("a cnn sees the order of its steps; without one take `encoder: transformer`")
        if self.values == "categories" and (self.jitter or self.files):
            raise ValueError("`jitter` and `files` are for numbers, not for categories")
        if self.files and self.columns is not None:
            raise ValueError("files are read from one `column`")
        if isinstance(self.times, str) and self.columns is None:
            raise ValueError(f"`times` names one of several `columns`, such as columns: [value, {self.times}]")
        if isinstance(self.columns, tuple):
            self._check_labels_beside(self.columns)
        heads = self._layers.heads if isinstance(self._layers, TransformerLayers) else 1
        if self.width % heads:
            raise ValueError(f"the {heads} heads of the transformer must divide the width {self.width}")
        return self

    def _check_labels_beside(self, names: Sequence[str]) -> None:
        """Labels are one channel: beside the times there is one column of them."""
        if self.values == "categories" and self.times in names and len(names) != 2:
            labels = [name for name in names if name != self.times]
            raise ValueError(
                f"columns: categories with the times of {self.times!r} have exactly one column of labels beside it, "
                f"found {len(labels)}{': ' if labels else ''}{', '.join(labels)}; make an input of each"
            )

    @property
    def _layers(self) -> CNNLayers | TransformerLayers:
        if self.encoder != "auto":
            return self.encoder
        return CNNLayers() if self.order else TransformerLayers()

    def fit(self, cells: Iterable[object]) -> SeriesPreparation:
        """Channels, length, mean and deviation, and the gaps between times, of up to 4096 series, evenly spread; labels
        of all.

        >>> Series().fit(["1|2|3", [[4]], [5, None]]).mean
        (3.0,)
        >>> Series(times=True).fit([[[0, 5], [2, 7]]]).gap
        2.0
        """
        given = list(cells)
        sample = given if self.values == "categories" else spread(given, SERIES_SAMPLED)
        form = self._form(sample)
        rows = readable(sample, form.read)
        longest = max(1, *(len(row.values) for row in rows))
        fitted = SeriesPreparation(
            form=form,
            ordered=self.order,
            max_steps=min(LONGEST, longest) if self.max_steps == "auto" else self.max_steps,
            jitter=self.jitter,
        )
        found: dict[str, object] = dict(clock_of(rows))
        if self.values == "categories":
            labels = [row.values for row in rows if isinstance(row.values, list)]
            return fitted.model_copy(update=found | {"vocabulary": Vocabulary.fit(labels, most=self.most)})
        return fitted.model_copy(update=found | scales_of(_alike(rows)))

    def restore(self, state: dict[str, Any]) -> SeriesPreparation:
        """The preparation a bundle holds."""
        return SeriesPreparation.model_validate(state)

    def resolved(self, preparation: Preparation) -> Self:
        """With the length that was fitted, and the encoder."""
        assert isinstance(preparation, SeriesPreparation)
        return self.model_copy(update={"max_steps": preparation.max_steps, "encoder": self._layers})

    def trained_as(self, preparation: Preparation) -> Preparation:
        """With `jitter`, and the separator of cells, as they are here."""
        assert isinstance(preparation, SeriesPreparation)
        form = preparation.form.model_copy(update={"separator": self.separator})
        return super().trained_as(preparation).model_copy(update={"form": form})

    def build(self, preparation: Preparation) -> Encoder:
        """A fresh encoder for series prepared so."""
        assert isinstance(preparation, SeriesPreparation)
        layers, vocabulary = self._layers, preparation.vocabulary
        num_labels = None if vocabulary is None else len(vocabulary.labels)
        if isinstance(layers, CNNLayers):
            return SeriesCNNEncoder(
                features=preparation.num_features,
                channels=layers.channels,
                blocks=layers.blocks,
                width=self.width,
                halvings=halvings_of(preparation.max_steps),
                num_labels=num_labels,
                timed=preparation.timed,
                dropout=self.dropout,
            )
        return SeriesTransformerEncoder(
            features=preparation.num_features,
            width=self.width,
            layers=layers.layers,
            heads=layers.heads,
            place=self._place(preparation),
            num_labels=num_labels,
            timed=preparation.timed,
            dropout=self.dropout,
        )

    def _place(self, preparation: SeriesPreparation) -> nn.Module | None:
        if not self.order:
            return None
        if preparation.timed:
            return TimedPlaces(self.width, span=preparation.span)
        return NumberedPlaces(self.width, longest=max(2, preparation.max_steps))

    def _form(self, cells: Sequence[object]) -> Form:
        """How these cells are written; of several columns, what each holds."""
        form = Form(
            labels=self.values == "categories", separator=self.separator, times="first" if self.times is True else None
        )
        if isinstance(self.times, str):
            names = self.columns if isinstance(self.columns, tuple) else ()
            if self.times not in names or len(names) < 2:
                raise SpecError(f"times: {self.times!r} has to be one of several columns, found {', '.join(names)}")
            try:
                self._check_labels_beside(names)  # which a glob has found only now
            except ValueError as error:
                raise SpecError(str(error)) from None
            return form.model_copy(update={"times": names.index(self.times), "columns": "channels"})
        if self.columns is None or len(self.columns) == 1:
            return form
        parts = (part for cell in cells if isinstance(cell, list | tuple) for part in cell)
        lists = (
            self.values == "numbers" and self.times is False and any(_is_several(one, self.separator) for one in parts)
        )
        return form.model_copy(update={"columns": "channels" if lists else "steps"})


def _is_several(part: object, separator: str) -> bool:
    """Whether one of several columns holds a whole series."""
    if isinstance(part, str):
        return separator in part or list_in(part.strip()) is not None
    return isinstance(part, list | tuple | np.ndarray | Path)


def _alike(rows: Sequence[Steps]) -> list[Steps]:
    """The rows that have as many channels as most; empty ones have any number."""
    counts = Counter(row.values.shape[1] for row in rows if isinstance(row.values, np.ndarray) and len(row.values))
    if not counts:
        raise DataError("no series of the training rows has a step")
    most = counts.most_common(1)[0][0]
    return [row for row in rows if isinstance(row.values, np.ndarray) and row.values.shape[1] == most]
