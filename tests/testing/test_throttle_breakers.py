"""Each check of the throttle suite fails for one deliberately broken method, and only for that."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from motet.balance import OGM, NoThrottle, Throttle, ThrottleSpec, Witness
from motet.balance.gradients import scaled
from motet.balance.singles import detached, single_terms
from motet.balance.throttle import TokensByInput, ValidLosses
from motet.testing import check_throttle, suite
from motet.testing.throttle import CHECKS


class Forgetful(OGM):
    alpha: float = Field(default=0.3, exclude=True)


class Sound(Throttle):
    """The more batches it has seen, the less it lets through; an input by itself passes."""

    uses_singles = True

    def __init__(self, inputs: Sequence[str]) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def keep(self, present: Mapping[str, Tensor], keys: Tensor) -> Mapping[str, Tensor]:
        return present

    def forward(self, tokens: TokensByInput) -> tuple[TokensByInput, TokensByInput]:
        return (scaled(tokens, self), detached(tokens)) if self.training else (tokens, tokens)

    def terms(self, witness: Witness) -> dict[str, Tensor]:
        self.seen += 1
        there = [name for name, one in witness.tokens.items() if bool(one.present.any())]
        factor = self.factor(witness) if len(there) > 1 else 1.0
        self.factors = {name: factor if name in there else 1.0 for name in witness.tokens}
        return single_terms(witness)

    def factor(self, witness: Witness) -> float:
        return 1 / (1 + float(self.seen))

    def after_backward(self, parameters: Mapping[str, Sequence[nn.Parameter]], *, key: int) -> None:
        pass

    def epoch_end(self, valid: ValidLosses | None) -> None:
        pass

    def row_weights(self, present: Mapping[str, Tensor]) -> Tensor | None:
        return None


class Shifted(Sound):
    def forward(self, tokens: TokensByInput) -> tuple[TokensByInput, TokensByInput]:
        throttled, alone = super().forward(tokens)
        if self.training and len(tokens) > 1:
            throttled = {name: replace(one, values=one.values * 1.001) for name, one in throttled.items()}
        return throttled, alone


class AlwaysOn(Sound):
    def forward(self, tokens: TokensByInput) -> tuple[TokensByInput, TokensByInput]:
        return scaled(tokens, self), detached(tokens)


class ByPosition(Sound):
    def terms(self, witness: Witness) -> dict[str, Tensor]:
        terms = super().terms(witness)
        self.factors = {
            name: factor if factor == 1 else factor / place
            for place, (name, factor) in enumerate(self.factors.items(), start=1)
        }
        return terms


class Blind(Sound):
    """Does not look who is there."""

    def terms(self, witness: Witness) -> dict[str, Tensor]:
        terms = super().terms(witness)
        self.factors = dict.fromkeys(self.factors, 0.5 if len(self.factors) > 1 else 1.0)
        return terms


class Greedy(Sound):
    """Divides by the number of tasks with a label."""

    def factor(self, witness: Witness) -> float:
        return float(torch.tensor(1.0) / (len(witness.scale) - 1))


class Peeking(Sound):
    def factor(self, witness: Witness) -> float:
        largest = max(float(one.values.detach().nan_to_num(1e30).abs().max()) for one in witness.tokens.values())
        return 1 / (1 + largest)


class Mute(Sound):
    def terms(self, witness: Witness) -> dict[str, Tensor]:
        return {name: term for name, term in super().terms(witness).items() if "photo" not in name}


class Global(Sound):
    def after_backward(self, parameters: Mapping[str, Sequence[nn.Parameter]], *, key: int) -> None:
        torch.rand(1)


class Emptying(Sound):
    def keep(self, present: Mapping[str, Tensor], keys: Tensor) -> Mapping[str, Tensor]:
        return {name: one & (keys % 5 != 0) for name, one in present.items()}


class Unfair(Sound):
    def row_weights(self, present: Mapping[str, Tensor]) -> Tensor | None:
        return present["photo"].double()


class Lonely(Sound):
    def terms(self, witness: Witness) -> dict[str, Tensor]:
        terms = super().terms(witness)
        if len(self.factors) == 1:
            self.factors = dict.fromkeys(self.factors, 0.5)
        return terms


class Hidden(Sound):
    def __init__(self, inputs: Sequence[str]) -> None:
        super().__init__(inputs)
        self.logits = {name: torch.zeros((), requires_grad=True) for name in inputs}


class PlainAttribute(Sound):
    steps = 0

    def factor(self, witness: Witness) -> float:
        self.steps += 1
        return 1 / (1 + self.steps)


def broken(cls: type[Sound]) -> ThrottleSpec:
    class Toy(ThrottleSpec):
        kind: Literal["toy"] = "toy"

        def build(self, input_widths: Mapping[str, int], *, tasks: Mapping[str, int | None]) -> Throttle:
            return cls(list(input_widths))

    return Toy()


BREAKERS: dict[str, ThrottleSpec] = {
    "spec_survives_json": Forgetful(alpha=0.5),
    "forward_is_the_identity": broken(Shifted),
    "evaluation_is_plain": broken(AlwaysOn),
    "inputs_go_by_name": broken(ByPosition),
    "absent_inputs_cost_nothing": broken(Blind),
    "labels_may_be_missing": broken(Greedy),
    "hidden_content_does_not_matter": broken(Peeking),
    "terms_teach_every_single_head": broken(Mute),
    "chance_is_passed_in": broken(Global),
    "rows_keep_an_input": broken(Emptying),
    "row_weights_are_fair": broken(Unfair),
    "one_input_is_left_alone": broken(Lonely),
    "nothing_learns_unseen": broken(Hidden),
    "state_dict_is_all": broken(PlainAttribute),
}


def test_every_check_has_a_breaker() -> None:
    assert list(BREAKERS) == [check.__name__ for check in CHECKS]


def test_the_sound_one_passes_and_so_does_none() -> None:
    check_throttle(broken(Sound))
    check_throttle(NoThrottle())


@pytest.mark.parametrize("check", BREAKERS)
def test_a_breaker_fails_exactly_its_check(check: str) -> None:
    assert list(suite.failures(CHECKS, BREAKERS[check])) == [check]
