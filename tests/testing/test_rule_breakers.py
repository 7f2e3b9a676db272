"""Each check of the rule suite fails for one deliberately broken rule, and only for that."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from motet.core.flow import Cells, LossTerm
from motet.nn import hide
from motet.tasks import Regression
from motet.tasks.rules import Joining, MeanOfNumbers, Opinion, Rule
from motet.testing import suite
from motet.testing.examples import task_labels
from motet.testing.rule import CHECKS, RuleCase, check_rule


class Sound(MeanOfNumbers):
    """The mean, with a bias that a term trains and the answer does not heed."""

    def __init__(self, joining: Joining) -> None:
        super().__init__(joining)
        self.bias = nn.Parameter(torch.zeros(()))
        self.offset = torch.randn(())
        self.factors: list[Tensor] = []

    def terms(self, opinions: Mapping[str, Opinion], target: Cells) -> dict[str, LossTerm]:
        count = target.present.sum()
        return {"bias__": LossTerm((self.bias - 1).square() * count, count.clamp(min=1))}


class Undefined(Sound):
    """Where nothing is present, nothing is said."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        some = torch.stack([one.present for one in opinions.values()]).any(dim=0)
        return torch.where(some, super().forward(opinions), torch.nan)


class Halved(Sound):
    """Forgets that what is left has to be renormalised."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        return super().forward({s: replace(one, weight=one.weight.clamp(max=0.5)) for s, one in opinions.items()})


class Overflowing(Sound):
    """Joins what is said by way of its exponential."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        powers = {s: replace(one, output=hide(one.output, one.present).exp()) for s, one in opinions.items()}
        some = torch.stack([one.present for one in opinions.values()]).any(dim=0)
        return torch.where(some, super().forward(powers), 1.0).log()


class Multiplied(Sound):
    """Takes what is absent times 0."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        return torch.stack([opinions[s].output * opinions[s].weight for s in sorted(opinions)]).sum(dim=0)


class LastStream(Sound):
    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        last, own = list(opinions), super().forward(opinions)
        heard = torch.stack([one.present for one in opinions.values()]).all(dim=0)
        return torch.where(heard, opinions[last[-1]].output, own)


class Centred(Sound):
    """Moves rows with several streams to where the batch is."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        joint = super().forward(opinions)
        several = torch.stack([one.present for one in opinions.values()]).sum(dim=0) > 1
        known = torch.where(several, joint, 0.0)
        return torch.where(several, joint - 0.1 * known.mean(), joint)


class Undivided(Sound):
    def terms(self, opinions: Mapping[str, Opinion], target: Cells) -> dict[str, LossTerm]:
        return {s: replace(term, count=target.present.sum()) for s, term in super().terms(opinions, target).items()}


class Nameless(Sound):
    def terms(self, opinions: Mapping[str, Opinion], target: Cells) -> dict[str, LossTerm]:
        return {"bias": super().terms(opinions, target)["bias__"]}


class Uphill(Sound):
    def loss(self, output: Tensor, target: Cells) -> Tensor:
        return -super().loss(output, target)


class Idle(Sound):
    def __init__(self, joining: Joining) -> None:
        super().__init__(joining)
        self.idle = nn.Parameter(torch.ones(2))


class Random(Sound):
    """An offset between streams that no state holds."""

    def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
        several = torch.stack([one.present for one in opinions.values()]).sum(dim=0) > 1
        return super().forward(opinions) + several * self.offset


BREAKERS: dict[str, type[Sound]] = {
    "joined_is_an_output": Undefined,
    "one_stream_says_what_it_says": Halved,
    "extreme_statements_join_to_finite_ones": Overflowing,
    "absent_streams_do_not_count": Multiplied,
    "the_order_of_streams_does_not_matter": LastStream,
    "rows_are_alone": Centred,
    "unlabelled_rows_cost_nothing": Undivided,
    "terms_have_names_of_their_own": Nameless,
    "the_loss_leads_to_the_labels": Uphill,
    "every_parameter_learns": Idle,
    "state_dict_is_all": Random,
}


def case(rule: type[Rule]) -> RuleCase:
    class Toy(Regression):
        rules: ClassVar[Mapping[str, type[Rule]]] = {"toy": rule}

    return RuleCase(Toy(), task_labels("regression"), "toy")


def test_every_check_has_a_breaker() -> None:
    assert list(BREAKERS) == [check.__name__ for check in CHECKS]


def test_the_sound_one_passes() -> None:
    assert suite.failures(CHECKS, case(Sound)) == {}


@pytest.mark.parametrize("check", BREAKERS)
def test_a_breaker_fails_exactly_its_check(check: str) -> None:
    assert list(suite.failures(CHECKS, case(BREAKERS[check]))) == [check]


def test_a_tensor_that_learns_unseen_is_found() -> None:
    class Hidden(Sound):
        def __init__(self, joining: Joining) -> None:
            super().__init__(joining)
            self.factors = [torch.ones(1, requires_grad=True)]

    assert list(suite.failures(CHECKS, case(Hidden))) == ["every_parameter_learns"]


def test_features_behind_an_absent_stream_are_looked_for_too() -> None:
    class Weighing(Sound):
        """Weighs by features, and sets the weight of what is absent to 0 only afterwards."""

        def forward(self, opinions: Mapping[str, Opinion]) -> Tensor:
            sure = {s: one.features.mean(dim=1).sigmoid() * one.present for s, one in opinions.items()}
            total = torch.stack(list(sure.values())).sum(dim=0).clamp(min=1e-6)
            return super().forward({s: replace(one, weight=sure[s] / total) for s, one in opinions.items()})

    assert list(suite.failures(CHECKS, case(Weighing))) == ["absent_streams_do_not_count"]


def test_the_error_names_the_rule_and_the_check() -> None:
    broken = case(Uphill)
    with pytest.raises(
        AssertionError, match="rule toy of regression: the_loss_leads_to_the_labels: the task's loss goes"
    ):
        check_rule(broken.spec, broken.labels, "toy")
