"""Putting the rows of a group in order of relevance: one score per row, a loss over pairs or whole lists."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.tasks.base import Codec
from motet.tasks.losses import loss_among_labelled
from motet.tasks.ranking.codec import RankingCodec
from motet.tasks.ranking.losses import listwise, pairwise
from motet.tasks.row import RowTask
from motet.tasks.rules import MeanOfNumbers, Rule, StackingOfNumbers
from motet.tasks.score import ScoreHead


class Ranking(RowTask):
    """Put the rows of a group in order, the most relevant first: the answers to one query, the offers to one customer.

    The loss of a row is that of its group among the labelled rows of the batch, over pairs (RankNet) or the whole list
    (ListNet); see `pairwise` and `listwise` in `motet.tasks.ranking`. A row whose group is not there loses nothing.

    >>> import torch
    >>> task = Ranking(group="query")
    >>> codec = task.fit([[2, "boats"], [0, "boats"], [1, "tea"]])
    >>> target = codec.batch([codec.read([2, "boats"]), codec.read([0, "boats"])])["target"]
    >>> codec.metrics()[0].compute(torch.tensor([0.3, 0.1]), target)
    1.0
    """

    paper: ClassVar[str] = (
        "Burges et al., Learning to Rank using Gradient Descent, ICML 2005 (pairwise); Cao et al., Learning to Rank: "
        "From Pairwise Approach to Listwise Approach, ICML 2007 (listwise)"
    )
    metric_names: ClassVar[tuple[str, ...]] = ("ndcg",)
    beside: ClassVar[tuple[str, ...]] = ("group",)
    whole_batch: ClassVar[bool] = True
    answers_are_labels: ClassVar[bool] = False
    rules: ClassVar[Mapping[str, type[Rule]]] = {"mean": MeanOfNumbers, "stacking": StackingOfNumbers}

    kind: Literal["ranking"] = "ranking"
    group: str = Field(
        default="group", description="The column whose equal values make a group, such as the query or the customer."
    )
    over: Literal["pairs", "lists"] = Field(
        default="pairs",
        description="What the loss looks at: pairs of rows of which one is more relevant, or whole lists and which row "
        "comes first.",
    )

    @property
    def batched_by(self) -> str | None:
        """The group: rows are compared within a batch."""
        return self.group

    def fit(self, cells: Iterable[object]) -> RankingCodec:
        """Nothing is kept of the labels; `DataError` where no group has two rows of different relevance."""
        codec, found = RankingCodec(), defaultdict[float, set[float]](set)
        for cell in cells:
            try:
                relevance, group = codec.read(cell).tolist()
            except CellError:
                continue
            found[group].add(relevance)
        if not found:
            raise DataError("no training row has a relevance and a group; name the right columns, or leave it out")
        if all(len(one) == 1 for one in found.values()):
            raise DataError(
                f"in each of the {len(found)} groups all rows are equally relevant: there is nothing to learn; name "
                "another column as `group`, or leave the task out"
            )
        return codec

    def restore(self, state: dict[str, Any]) -> RankingCodec:
        """The codec of a bundle."""
        return RankingCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """Itself: nothing is left to be found."""
        return self

    def output_shape(self, codec: Codec) -> tuple[int, ...]:
        """One score."""
        return ()

    def num_classes(self, codec: Codec) -> int | None:
        """None: a relevance is no class."""
        return None

    def build(self, codec: Codec, input_width: int) -> ScoreHead:
        """A linear layer to one score per row."""
        return ScoreHead(input_width)

    def loss(self, output: Float[Tensor, "B"], target: Cells) -> Float[Tensor, "B"]:
        """That of each row's group."""
        of_groups = pairwise if self.over == "pairs" else listwise
        return loss_among_labelled(lambda score, label: of_groups(score, label[:, 0], label[:, 1]), output, target)
