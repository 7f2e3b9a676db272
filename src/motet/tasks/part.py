"""Tasks that read the parts of inputs (tokens, the cells of a map), or that write: one head, whatever the streams.

B rows, D width of the features; T tokens of an input, d their width.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from jaxtyping import Bool, Float
from torch import Tensor, nn

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.core.flow import Cells, Reader, Tokens
from motet.tasks.base import Codec, TaskSpec


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of an input before a head that reads it is built.

    `width` is that of its tokens, `maps` are channels, height and width of its maps, from fine to coarse, `grid` the
    height and width of the map whose cells, row by row, the tokens are; `reader` is what prepares its cells.
    """

    width: int
    reader: Reader
    maps: tuple[tuple[int, int, int], ...] = ()
    grid: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a head reads of B rows: the task's features, and the tokens of the inputs it asked for.

    A row without an input has its learned absent token there (`Tokens.present` says so), maps of zeros, no words.
    """

    features: Float[Tensor, "B D"]
    tokens: Mapping[str, Tokens]

    def rows(self, chosen: Tensor) -> "Reading":
        """The same of some rows, by number."""
        return Reading(self.features[chosen], {name: one.rows(chosen) for name, one in self.tokens.items()})


class SizedCodec(Codec, ABC):
    """Labels and answers about the places of a picture, all of one size inside."""

    @abstractmethod
    def at_size(self, columns: dict[str, list[Any]], sizes: Sequence[tuple[int, int] | None]) -> dict[str, list[Any]]:
        """What `decode` gave, at the height and width of each row's own picture; None leaves an answer as it is."""


class PartHead(nn.Module, ABC):
    """A reading -> what the loss takes, and what is answered; the two need not look alike.

    In training it is called with labelled rows alone, never with none.
    """

    @abstractmethod
    def forward(self, reading: Reading, target: Cells) -> Tensor:
        """What `TaskSpec.loss` takes, `[B, ...]`; it may read the target, as who learns to write does."""

    @abstractmethod
    def answer(self, reading: Reading) -> Tensor:
        """The output `[B, ...]`: what metrics and `decode` take. Padded as a `Codec` says; nothing is differentiated.

        A row whose input is absent has an output too, of nothing but padding where there is nothing to answer about.
        """

    @abstractmethod
    def start_from(self, prior: Tensor) -> None:
        """Take in what is known without any input, as `Codec.prior` has it."""


class PartTask(TaskSpec, ABC):
    """What every task of this kind has in common.

    `own_tokens`: it reads what an input's encoder says, not what becomes of it once fusion has shown it the others:
    where that would give away the answer. `reads_maps`: it reads the maps of a picture's encoder. `needs_all`: it can
    say nothing of a row that lacks one of the inputs it reads; else it lacks all. `asks`: fields of the inputs it
    reads, and what they have to be. `beside_input`: a label is read together with the row's cell of the first input it
    reads, `Codec.read((label, cell))`, to be held against it. `sized`: answers have the size of a picture, see
    `SizedCodec`. `names_items`: a label only says which rows are about the same thing, so that an input may read the
    column as well.
    """

    own_tokens: ClassVar[bool] = False
    reads_maps: ClassVar[bool] = False
    needs_all: ClassVar[bool] = True
    asks: ClassVar[Mapping[str, object]] = {}
    beside_input: ClassVar[bool] = False
    sized: ClassVar[bool] = False
    names_items: ClassVar[bool] = False

    @property
    def label_from(self) -> int | None:
        """The number, among the inputs it reads, of the one whose cells are its labels; None: they have a column."""
        return None

    @property
    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """The inputs whose tokens it reads; known once `reading` has been asked."""

    @abstractmethod
    def reading(self, kinds: Mapping[str, str]) -> Self:
        """The same Spec with the inputs it reads written out, of inputs of these kinds, by name.

        Raises `SpecError` where there is none that it can read, or several and it does not say which.
        """

    @abstractmethod
    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> Codec:
        """Fit on the present labels of the training rows; `readers` are the preparations of the inputs it reads.

        Raises `DataError` where there is nothing to learn.
        """

    @abstractmethod
    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> PartHead:
        """A head for features of this width and the inputs it reads; `SpecError` where it can not read one."""

    def known(self, present: Mapping[str, Bool[Tensor, "B"]]) -> Bool[Tensor, "B"]:
        """Which rows it can say something about, from which of the inputs it reads are there."""
        found = [present[name] for name in self.reads]
        known = found[0]
        for one in found[1:]:
            known = known & one if self.needs_all else known | one
        return known


def input_to_read(given: str | None, kinds: Mapping[str, str], able: tuple[str, ...], *, word: str, field: str) -> str:
    """The input a task reads: the one that is named, or the only one of a kind it can read; else `SpecError`.

    >>> input_to_read(None, {"words": "text", "age": "number"}, ("text",), word="tagging", field="of")
    'words'
    """
    fitting = [name for name, kind in kinds.items() if kind in able]
    what = " or ".join(able)
    if given is None:
        if len(fitting) != 1:
            found = f"there are {', '.join(fitting)}: name one" if fitting else "there is none"
            raise SpecError(f"a {word} task reads an input of kind {what}, and {found} by `{field}`")
        return fitting[0]
    if given not in kinds:
        raise SpecError(f"{field}: there is no input {given!r}{did_you_mean(given, fitting or kinds)}")
    if kinds[given] not in able:
        raise SpecError(f"{field}: {given!r} is of kind {kinds[given]}; a {word} task reads an input of kind {what}")
    return given
