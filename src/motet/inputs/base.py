"""The contract of the room: an input is a Spec, a fitted preparation and an encoder, in one file."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from motet.core.component import ComponentSpec, Frozen
from motet.core.errors import CellError, DataError
from motet.core.flow import Tokens

Item = TypeVar("Item")
OF_TRAINING = frozenset({"augment", "crop", "dropout", "flip", "jitter", "layer_decay", "mask", "model", "separator"})
OF_TRAINING |= {"shift", "tune", "unseen", "word_dropout", "zoom"}
"""Fields that say how a table is read or how an input is trained, not what its numbers mean: each run has its own."""


class Preparation(Frozen, ABC):
    """Everything fitted on the training rows that turns a cell into tensors; saved in the bundle as JSON.

    It satisfies `core.flow.Reader`. `read` is deterministic and does the costly part (decode, resize, tokenize);
    `augment` is the random part, on training rows only; `batch` pads, stacks and normalises.
    """

    @property
    @abstractmethod
    def varies(self) -> bool:
        """Whether `augment` does anything; where it is False, nothing is drawn and `augment` is not called."""

    @property
    def variations(self) -> Mapping[str, object]:
        """The fields of the Spec that make items vary, each with the value at which it would not, as they are told to
        who wonders why nothing is kept of what a frozen encoder says.
        """
        return {}

    @abstractmethod
    def read(self, cell: object) -> np.ndarray:
        """One present cell -> one array; raises `CellError` with the reason."""

    @abstractmethod
    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A random variation of what `read` returned, or the item itself."""

    @abstractmethod
    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """One or more items -> tensors whose first dimension is their number."""

    def blank(self, values: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """What `batch` returned, of cells as large that say nothing: saliency is measured against them. None: there are
        no such cells.
        """
        return None

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """The item of a cell as a worse source would have given it, as much worse as `level` says, from 0, not at all,
        to 1; for the curves of robustness. `other` is the item of another row.

        Here, numbers with a fraction get normal noise of `level` times their deviation within the item; an item of
        whole numbers is that of the other row at probability `level`.
        """
        if np.issubdtype(item.dtype, np.floating):
            return noisy(item, level * float(item.std()), generator)
        return other if generator.random() < level else item


class Encoder(nn.Module, ABC):
    """Tensors of the rows that have this input -> tokens `[N, T, output_width]`.

    `output_grid` is height and width of the map whose cells, row by row, the tokens are; None where they are no map.
    `output_maps` are channels, height and width of `Tokens.maps`, from fine to coarse.
    In a graph that is compiled or exported the rows without the input are encoded too, as blanks: zeros, and True where
    a tensor holds truth values. What comes of those is thrown away, but it has to be finite.
    """

    output_width: int
    output_grid: tuple[int, int] | None = None
    output_maps: tuple[tuple[int, int, int], ...] = ()

    def at(self, progress: float) -> bool:
        """A training step begins, so much of training lies behind, from 0 to 1: what opens or closes does so here.

        Whether other parameters learn from now on.
        """
        return False

    def felt(self, values: Mapping[str, Tensor]) -> tuple[Tensor, Callable[[Tensor], Tokens]] | None:
        """`forward` in two: what it feels of N rows, `[N, ...]`, where saliency takes gradients, and the tokens of what
        is felt, by no call of the module itself, which may be compiled. None: no place has parts that are parts of the
        cell.
        """
        return None

    @abstractmethod
    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """Encode N rows, each on its own: a row's tokens never depend on the other rows or on their padding."""


class InputSpec(ComponentSpec, ABC):
    """What every input has in common."""

    media: ClassVar[bool] = False
    shown_as: ClassVar[Literal["text", "picture", "sound"]] = "text"
    several: ClassVar[bool] = True
    """Whether several columns may make one input of this kind."""

    column: str | None = Field(default=None, description="The column of the table; the input's own name when left out.")
    columns: tuple[str, ...] | str | None = Field(
        default=None, description="Several columns as one input: a list of names, or a glob such as 'el_*'."
    )
    missing: tuple[str, ...] = Field(
        default=(), description="Spellings of an absent cell beside the empty one, e.g. ['NA']."
    )
    drop: Annotated[float, Field(ge=0, lt=1)] | Literal["auto"] = Field(
        default="auto",
        description="How often a training row goes without this input, so that the model learns to (0 to <1).",
    )
    drop_rise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="The fraction of training over which `drop` rises linearly from 0; 0: in full from the start.",
    )
    share: str | None = Field(
        default=None, description="Another input of this kind, whose preparation and encoder this one uses as well."
    )

    @model_validator(mode="after")
    def _one_way_to_name_columns(self) -> Self:
        if self.columns is not None and self.column is not None:
            raise ValueError("give `column` or `columns`, not both")
        if isinstance(self.columns, tuple) and len(set(self.columns)) < len(self.columns):
            twice = next(name for name in self.columns if self.columns.count(name) > 1)
            raise ValueError(f"`columns` names {twice!r} twice")
        return self

    @property
    def divider(self) -> str | None:
        """What divides the paths in one cell where a row may have several media; None where it has one."""
        return getattr(self, "separator", None) if self.media else None

    @abstractmethod
    def fit(self, cells: Iterable[object]) -> Preparation:
        """Fit on the present cells of the training rows; cells that `read` would refuse are passed over."""

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> Preparation:
        """The preparation a bundle holds, from its JSON."""

    @abstractmethod
    def resolved(self, preparation: Preparation) -> Self:
        """The Spec with every "auto" replaced by what was fitted."""

    @abstractmethod
    def build(self, preparation: Preparation) -> Encoder:
        """The encoder for cells prepared so, freshly initialised."""

    def trained_as(self, preparation: Preparation) -> Preparation:
        """What was fitted, for another run or another Spec, with `OF_TRAINING` as this Spec has them; "auto": as it is.

        A kind whose preparation has these fields under other names, or inside another, says so itself.
        """
        fields = sorted(OF_TRAINING & set(type(self).model_fields) & set(type(preparation).model_fields))
        own = {field: getattr(self, field) for field in fields}
        return preparation.model_copy(update={field: value for field, value in own.items() if value != "auto"})

    def located(self, base: Path) -> Self:
        """With paths it names as they are seen from anywhere; `base` is where relative ones start."""
        return self

    def portable(self) -> Self:
        """Without paths of this machine, as a bundle keeps it: nothing is read from them any more."""
        return self

    def start(self, encoder: Encoder) -> None:
        """Give a fresh encoder the weights its training starts from, where they are not drawn by chance."""


def readable(cells: Iterable[object], read: Callable[[object], Item]) -> list[Item]:
    """What `read` makes of every cell it does not refuse; `DataError` when it refuses all.

    >>> from motet.core.numerals import to_float
    >>> readable(["1", "one", "3"], to_float)
    [1.0, 3.0]
    """
    items, reason = [], "there is none"
    for cell in cells:
        try:
            items.append(read(cell))
        except CellError as error:
            reason = f"{error}: {str(cell)[:60]!r}"
    if not items:
        raise DataError(f"no cell of the training rows can be read; of the last one: {reason}")
    return items


def noisy(item: np.ndarray, deviation: float | np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The item plus normal noise of this deviation, in the item's own kind of numbers; pixels stay within 0..255.

    >>> noisy(np.zeros(3, dtype=np.uint8), 0.0, np.random.default_rng(0)).tolist()
    [0, 0, 0]
    """
    changed = item + deviation * generator.standard_normal(item.shape)
    if item.dtype == np.uint8:
        changed = np.clip(np.rint(changed), 0, 255)
    return np.asarray(changed, dtype=item.dtype)


def single_token(vectors: Float[Tensor, "N D"]) -> Tokens:
    """One token per row, present in each.

    >>> single_token(torch.zeros(2, 8)).mask
    tensor([[True],
            [True]])
    """
    present = torch.ones(vectors.shape[0], dtype=torch.bool, device=vectors.device)
    return Tokens(vectors[:, None], present[:, None], present)


def spread(cells: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of the cells, evenly spread over all of them: a sample without chance.

    >>> spread(["a", "b", "c", "d", "e"], 3)
    ['a', 'c', 'e']
    """
    if len(cells) <= count:
        return list(cells)
    return [cells[int(index)] for index in np.linspace(0, len(cells) - 1, count)]
