"""How long until something happens: one log hazard per row, Cox's partial likelihood."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells
from motet.tasks.base import Codec
from motet.tasks.losses import loss_among_labelled
from motet.tasks.row import RowTask
from motet.tasks.rules import MeanOfNumbers, Rule, StackingOfNumbers
from motet.tasks.score import ScoreHead
from motet.tasks.survival.codec import SurvivalCodec
from motet.tasks.survival.cox import partial_likelihood


class Survival(RowTask):
    """Tell to whom something will happen sooner, learning too from rows to which it had not happened when last seen.

    A row's hazard, the rate at which it happens while it has not, is `H'(t) exp(h)`: h is what is learned, by the
    partial likelihood over the labelled rows of a batch (see `partial_likelihood`), without knowing H. Where DeepSurv
    adds the penalty and the mean over events, training has its own weight decay, and the mean is over all labelled
    rows. A batch sees those at risk that are in it: the larger, the better. H is fitted to the validation rows.

    >>> codec = Survival(event="died").fit([[3.5, 1], [2, 0], [4, 1]])
    >>> codec.horizon, codec.read([3.5, "yes"]).tolist()
    (3.5, [3.5, 1.0])
    """

    paper: ClassVar[str] = (
        "Cox, Regression Models and Life-Tables, JRSS-B 1972; Katzman et al., DeepSurv, BMC Medical Research "
        "Methodology 2018"
    )
    metric_names: ClassVar[tuple[str, ...]] = ("concordance",)
    beside: ClassVar[tuple[str, ...]] = ("event",)
    whole_batch: ClassVar[bool] = True
    answers_are_labels: ClassVar[bool] = False
    rules: ClassVar[Mapping[str, type[Rule]]] = {"mean": MeanOfNumbers, "stacking": StackingOfNumbers}

    kind: Literal["survival"] = "survival"
    event: str = Field(
        default="event",
        description="The column that says whether it happened at that time (1), or the row was last seen then (0).",
    )
    ties: Literal["efron", "breslow"] = Field(
        default="efron", description="How events at the same time are counted; efron is closer to the exact likelihood."
    )
    horizon: float | None = Field(
        default=None,
        gt=0,
        description="The time of which the probability to outlive it is told; the median time of the training rows "
        "when left out.",
    )

    def fit(self, cells: Iterable[object]) -> SurvivalCodec:
        """Find the horizon; `DataError` where it happened to nobody, or nobody is known to have lived longer."""
        rows = np.array(list(_readable(cells))).reshape(-1, 2)
        if not len(rows):
            raise DataError("no training row has a time and an event; name the right columns, or leave the task out")
        time, event = rows[:, 0], rows[:, 1] > 0.5
        if not event.any():
            raise DataError("no training row has an event: there is nothing to learn; `event` is 1 where it happened")
        if not ((time > time[event].min()) | ((time == time[event].min()) & ~event)).any():
            raise DataError("all events are at one time and nobody lived longer: there is nothing to learn")
        return SurvivalCodec(horizon=float(np.median(time)) if self.horizon is None else self.horizon)

    def restore(self, state: dict[str, Any]) -> SurvivalCodec:
        """The codec of a bundle."""
        return SurvivalCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        """With the horizon written down."""
        assert isinstance(codec, SurvivalCodec)
        return self.model_copy(update={"horizon": codec.horizon})

    def output_shape(self, codec: Codec) -> tuple[int, ...]:
        """One log hazard."""
        return ()

    def num_classes(self, codec: Codec) -> int | None:
        """None: a time is no class."""
        return None

    def build(self, codec: Codec, input_width: int) -> ScoreHead:
        """A linear layer to one log hazard per row."""
        return ScoreHead(input_width)

    def loss(self, output: Float[Tensor, "B"], target: Cells) -> Float[Tensor, "B"]:
        """Each row's share in the partial likelihood of the labelled rows."""
        return loss_among_labelled(
            lambda hazard, label: partial_likelihood(hazard, label[:, 0], label[:, 1] > 0.5, ties=self.ties),
            output,
            target,
        )


def _readable(cells: Iterable[object]) -> Iterable[np.ndarray]:
    codec = SurvivalCodec(horizon=1.0)
    for cell in cells:
        try:
            yield codec.read(cell)
        except CellError:
            continue
