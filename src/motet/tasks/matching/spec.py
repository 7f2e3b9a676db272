"""The Spec of tasks that find what belongs together."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

from jaxtyping import Float, Int64
from pydantic import Field, model_validator
from torch import Tensor

from motet.core.checks import did_you_mean
from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells, Reader
from motet.nn.contrast import STARTS, infonce, sigmoid
from motet.tasks.base import Codec
from motet.tasks.losses import loss_among_labelled
from motet.tasks.matching.codec import MatchingCodec, item_of
from motet.tasks.matching.head import MatchingHead
from motet.tasks.part import PartTask, Source

DESCRIBED = ("audio", "image", "video")
"""Kinds that stand first where a user does not say which side does: the other tells what is on them."""


class Matching(PartTask):
    """Say which cells of two inputs belong together: a picture and its description, a question and its answer.

    Each side is a vector of length 1, u_i and v_i; z_ij = t u_i . v_j (+ b) is compared over the rows of a batch:

        infonce: 1/2 (KL(q_i || softmax_j z_ij) + KL(q_i || softmax_j z_ji)), q_i uniform over the rows of i's item
        sigmoid: -sum_j log s(y_ij z_ij), y_ij 1 for the same item, else -1 (Zhai et al., ICCV 2023)

    Rows with equal cells on the second side, or equal labels in `column`, are about the same item and never negatives
    of each other; a row without both sides takes no part. Beyond CLIP these are SupCon's several positives (Khosla et
    al., NeurIPS 2020).

    >>> task = Matching().reading({"text": "text", "photo": "image"})
    >>> task.reads
    ('photo', 'text')
    >>> task.fit(["a pear", "a plum"], {}).between
    ('photo', 'text')
    """

    metric_names: ClassVar[tuple[str, ...]] = ("recall_at_5", "recall_at_1", "median_rank")
    own_tokens: ClassVar[bool] = True
    names_items: ClassVar[bool] = True
    whole_batch: ClassVar[bool] = True
    answers_are_labels: ClassVar[bool] = False
    paper: ClassVar[str] = (
        "Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021"
    )

    kind: Literal["matching"] = "matching"
    between: tuple[str, str] | None = Field(
        default=None, description="The two inputs, e.g. [photo, description]; left out where there are just two."
    )
    objective: Literal["infonce", "sigmoid"] = Field(
        default="infonce", description="The loss: each row picks its partner, or every pair is judged by itself."
    )
    width: int = Field(default=64, ge=2, description="Width of the vectors that are compared.")
    layers: int = Field(default=0, ge=0, description="Hidden layers before the vectors; 0: a linear map.")
    pool: Literal["mean", "attention"] = Field(
        default="mean", description="What becomes of an input's tokens: their mean, or one that is learned to look."
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="Dropout before and behind each hidden layer.")

    @model_validator(mode="after")
    def _fields_are_heeded(self) -> Self:
        if self.column is None and self.missing:
            raise ValueError("`missing` says how labels are spelt that are absent; it goes with a `column` of labels")
        return self

    @property
    def label_from(self) -> int | None:
        """The second side, unless a column says which rows are about the same item."""
        return 1 if self.column is None else None

    @property
    def reads(self) -> tuple[str, ...]:
        """Both sides, in order."""
        assert self.between is not None, "`reading` says which inputs there are"
        return self.between

    def reading(self, kinds: Mapping[str, str]) -> Self:
        """With both sides written out; pictures and sounds first where they were left out."""
        if self.between is None:
            if len(kinds) != 2:
                count = f"there {'is one' if len(kinds) == 1 else f'are {len(kinds)}'}"
                raise SpecError(f"a matching task is between two inputs, and {count}: name two by `between`")
            first, second = sorted(kinds, key=lambda name: (kinds[name] not in DESCRIBED, name))
            return self.model_copy(update={"between": (first, second)})
        for name in self.between:
            if name not in kinds:
                raise SpecError(f"between: there is no input {name!r}{did_you_mean(name, kinds)}")
        if self.between[0] == self.between[1]:
            raise SpecError(f"between: {self.between[0]!r} is named twice; a matching task is between two inputs")
        return self

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> MatchingCodec:
        """There is nothing to fit, but there have to be two items at least."""
        items: set[int] = set()
        for cell in cells:
            try:
                items.add(item_of(cell))
            except CellError:
                continue
        if len(items) < 2:
            found = "no training row has both" if not items else "all training rows are about the same item"
            raise DataError(f"{found}: there is nothing to tell apart; add rows, or leave the task out")
        return MatchingCodec(between=(self.reads[0], self.reads[1]))

    def restore(self, state: dict[str, Any]) -> MatchingCodec:
        """The codec of a bundle."""
        return MatchingCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """Nothing here is "auto"."""
        return self

    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> MatchingHead:
        """A head for both sides; it reads no features."""
        scale, bias = STARTS[self.objective]
        return MatchingHead(
            {name: source.width for name, source in sources.items()},
            between=self.reads,
            width=self.width,
            layers=self.layers,
            pool=self.pool,
            dropout=self.dropout,
            scale=scale,
            bias=bias,
        )

    def loss(self, output: Float[Tensor, "B 2 E"], target: Cells) -> Float[Tensor, "B"]:
        """Each labelled row's, held against the other labelled ones."""
        return loss_among_labelled(self._loss, output, target)

    def _loss(self, vectors: Float[Tensor, "n 2 E"], item: Int64[Tensor, "n"]) -> Float[Tensor, "n"]:
        first, second = vectors.unbind(dim=1)
        compare = infonce if self.objective == "infonce" else sigmoid
        return compare(first @ second.T, item[:, None] == item)
