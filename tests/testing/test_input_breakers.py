"""Each check of the input suite fails for one deliberately broken input, and only for that."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from motet.core.flow import Tokens
from motet.inputs import Encoder, InputSpec, Number, NumberPreparation, Preparation
from motet.testing import check_input, suite
from motet.testing.examples import input_cells
from motet.testing.input import CHECKS, Case


class Forgetful(Number):
    width: int = Field(default=8, exclude=True)


class Shifted(Number):
    def restore(self, state: dict[str, Any]) -> NumberPreparation:
        return super().restore({**state, "centre": state["centre"] + 1.0})


class NeverResolved(Number):
    size: Literal["auto"] = "auto"


class Gullible(NumberPreparation):
    def read(self, cell: object) -> np.ndarray:
        return np.array(0.0) if isinstance(cell, dict) else super().read(cell)


class Restless(NumberPreparation):
    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return item + 1.0


def prepared_by(cls: type[NumberPreparation]) -> InputSpec:
    class Toy(Number):
        def fit(self, cells: Iterable[object]) -> NumberPreparation:
            return cls.model_validate(super().fit(cells).model_dump())

    return Toy()


class Broken(Encoder):
    """A sound encoder that is tampered with."""

    def __init__(self, sound: Encoder, tamper: Callable[..., Tensor]) -> None:
        super().__init__()
        self.sound, self.tamper = sound, tamper
        self.output_width = sound.output_width
        self.offset = torch.randn(1)

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        tokens = self.sound(values)
        return Tokens(self.tamper(self, tokens.values), tokens.mask, tokens.present)


def encoded_by(make: Callable[[Encoder], Encoder]) -> InputSpec:
    class Toy(Number):
        def build(self, preparation: Preparation) -> Encoder:
            return make(super().build(preparation))

    return Toy()


def tampered(tamper: Callable[[Broken, Tensor], Tensor]) -> InputSpec:
    return encoded_by(lambda sound: Broken(sound, tamper))


def wrong_width(encoder: Encoder) -> Encoder:
    encoder.output_width += 1
    return encoder


def idle_parameter(encoder: Encoder) -> Encoder:
    encoder.idle = nn.Parameter(torch.ones(2))
    return encoder


def hidden_parameter(encoder: Encoder) -> Encoder:
    encoder.factors = [torch.ones(1, requires_grad=True)]
    return encoder


class Deaf(Encoder):
    def __init__(self, sound: Encoder) -> None:
        super().__init__()
        self.sound, self.output_width = sound, sound.output_width

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        return self.sound({name: torch.ones_like(value) for name, value in values.items()})


BREAKERS: dict[str, InputSpec] = {
    "spec_survives_json": Forgetful(width=4),
    "preparation_survives_json": Shifted(),
    "nothing_auto_is_left": NeverResolved(),
    "bad_cells_are_refused_and_passed_over": prepared_by(Gullible),
    "variation_is_seeded_and_leaves_the_item": prepared_by(Restless),
    "tokens_are_as_declared": encoded_by(wrong_width),
    "every_parameter_learns": encoded_by(idle_parameter),
    "nothing_learns_unseen": encoded_by(hidden_parameter),
    "rows_are_alone": tampered(lambda self, values: values - 0.1 * values.mean(dim=0)),
    "cells_matter": encoded_by(Deaf),
    "state_dict_is_all": tampered(lambda self, values: values + self.offset),
}


def test_every_check_has_a_breaker() -> None:
    assert list(BREAKERS) == [check.__name__ for check in CHECKS]


@pytest.mark.parametrize("check", BREAKERS)
def test_a_breaker_fails_exactly_its_check(check: str) -> None:
    assert list(suite.failures(CHECKS, Case(BREAKERS[check], input_cells("number")))) == [check]


def test_the_error_names_the_component_and_the_check() -> None:
    with pytest.raises(AssertionError, match="input number: nothing_auto_is_left: still auto: size"):
        check_input(NeverResolved(), input_cells("number"))
