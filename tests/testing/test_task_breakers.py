"""Each check of the task suite fails for one deliberately broken task, and only for that."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from motet.core.flow import Cells
from motet.tasks import Codec, Head, Metric, Regression, RegressionCodec, TaskSpec
from motet.tasks.rules import MeanOfNumbers, Opinion, Rule
from motet.testing import check_task, suite
from motet.testing.examples import task_labels
from motet.testing.task import CHECKS, Case


class Plain(Regression):
    """With one rule: the others have breakers of their own."""

    rules: ClassVar[Mapping[str, type[Rule]]] = {"mean": MeanOfNumbers}


class Forgetful(Plain):
    interval: float = Field(default=0.9, exclude=True)


class Shifted(Plain):
    def restore(self, state: dict[str, Any]) -> RegressionCodec:
        return super().restore({**state, "center": state["center"] + 1.0})


class NeverResolved(Plain):
    size: Literal["auto"] = "auto"


class Gullible(RegressionCodec):
    def read(self, cell: object) -> np.ndarray:
        return np.zeros((), np.float32) if isinstance(cell, dict) else super().read(cell)


class Curt(RegressionCodec):
    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        return {**super().decode(output), "remark": ["fine", "so so"]}


class Doubtful(RegressionCodec):
    def certain(self, target: Tensor) -> Tensor:
        return target + 1


class Short(RegressionCodec):
    def trivial(self, prior: Tensor, target: Tensor) -> Tensor:
        return super().trivial(prior, target)[:1]


class Miscounted(RegressionCodec):
    def metrics(self) -> tuple[Metric, ...]:
        wrong = {"counts": lambda output, target: np.ones((len(output), 1)), "of_counts": lambda counts: 7.0}
        return tuple(replace(one, **wrong) for one in super().metrics())


def coded_by(cls: type[RegressionCodec]) -> TaskSpec:
    class Toy(Plain):
        def fit(self, cells: Iterable[object]) -> RegressionCodec:
            return cls.model_validate(super().fit(cells).model_dump())

        def restore(self, state: dict[str, Any]) -> RegressionCodec:
            return cls.model_validate(state)

    return Toy()


class Multiplied(Plain):
    def loss(self, output: Tensor, target: Cells) -> Tensor:
        return (output - target.values["target"]) ** 2 * target.present


class BatchMean(Plain):
    def loss(self, output: Tensor, target: Cells) -> Tensor:
        return super().loss(output, target) / len(output)


class Uphill(Plain):
    def loss(self, output: Tensor, target: Cells) -> Tensor:
        return -super().loss(output, target)


class OtherMetrics(Plain):
    metric_names: ClassVar[tuple[str, ...]] = ("mae", "r2", "rmse", "spearman")


class LastStream(MeanOfNumbers):
    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        return super().forward(dict([list(opinions.items())[-1]]))


class BrokenRule(Plain):
    rules: ClassVar[Mapping[str, type[Rule]]] = {"mean": LastStream}


class AnyRule(Plain):
    def rule(self, name: str, codec: Codec, *, streams: Sequence[str], width: int) -> Rule:
        return super().rule(name if name in self.rules else "mean", codec, streams=streams, width=width)


def headed_by(change: Callable[[Head], Head]) -> TaskSpec:
    class Toy(Plain):
        def build(self, codec: Codec, input_width: int) -> Head:
            return change(super().build(codec, input_width))

    return Toy()


class Broken(Head):
    """A sound head with a random offset, or one that ignores the prior."""

    def __init__(self, sound: Head, *, offset: float = 0.0, heeds_the_prior: bool = True) -> None:
        super().__init__()
        self.sound, self.heeds_the_prior = sound, heeds_the_prior
        self.offset = offset * torch.randn(1)

    def forward(self, features: Tensor) -> Tensor:
        return self.sound(features) + self.offset

    def start_from(self, prior: Tensor) -> None:
        self.sound.start_from(prior)
        self.offset = torch.zeros(1) if self.heeds_the_prior else torch.ones(1)


def idle_parameter(head: Head) -> Head:
    head.idle = nn.Parameter(torch.ones(2))
    return head


def hidden_parameter(head: Head) -> Head:
    head.factors = [torch.ones(1, requires_grad=True)]
    return head


BREAKERS: dict[str, TaskSpec] = {
    "spec_survives_json": Forgetful(interval=0.8),
    "codec_survives_json": Shifted(),
    "the_resolved_spec_fits_to_the_same": NeverResolved(),
    "bad_labels_are_refused_and_passed_over": coded_by(Gullible),
    "unlabelled_rows_cost_nothing": Multiplied(),
    "rows_are_alone": BatchMean(),
    "every_parameter_learns": headed_by(idle_parameter),
    "nothing_learns_unseen": headed_by(hidden_parameter),
    "the_loss_leads_to_the_labels": Uphill(),
    "answers_are_plain_and_one_per_row": coded_by(Curt),
    "an_untrained_head_answers_the_prior": headed_by(lambda head: Broken(head, heeds_the_prior=False)),
    "metrics_are_as_declared": OtherMetrics(),
    "certain_outputs_are_perfect": coded_by(Doubtful),
    "the_trivial_answer_knows_no_input": coded_by(Short),
    "drawn_rows_score_as_such": coded_by(Miscounted),
    "rules_join": BrokenRule(),
    "unknown_rules_are_refused": AnyRule(),
    "state_dict_is_all": headed_by(lambda head: Broken(head, offset=1.0)),
}


def test_every_check_has_a_breaker() -> None:
    assert list(BREAKERS) == [check.__name__ for check in CHECKS]


@pytest.mark.parametrize("check", BREAKERS)
def test_a_breaker_fails_exactly_its_check(check: str) -> None:
    assert list(suite.failures(CHECKS, Case(BREAKERS[check], task_labels("regression")))) == [check]


def test_the_error_names_the_component_and_the_check() -> None:
    with pytest.raises(AssertionError, match="task regression: unlabelled_rows_cost_nothing: "):
        check_task(Multiplied(), task_labels("regression"))
