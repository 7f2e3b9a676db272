"""Each check of the fusion suite fails for one deliberately broken operator, and only for that."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from motet.core.errors import SpecError
from motet.core.flow import Fused, LossTerm, Tokens
from motet.fusion import Concat, ConcatFusion, Fusion, FusionSpec, LateFusion, WeightedFusion
from motet.fusion.base import Grids
from motet.fusion.project import pooled as mean_token
from motet.fusion.project import presence
from motet.nn.pooling import hide
from motet.testing import check_fusion, suite
from motet.testing.fusion import CHECKS


class Forgetful(Concat):
    width: int = Field(default=8, exclude=True)


class Broken(Fusion):
    """A sound operator whose answer is tampered with."""

    def __init__(self, sound: Fusion, tamper: Callable[..., dict[str, Fused]]) -> None:
        super().__init__()
        self.sound, self.tamper = sound, tamper
        self.streams, self.output_width, self.exact = sound.streams, sound.output_width, sound.exact
        self.offset = torch.randn(1)
        self.factors: list[Tensor] = []

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        return self.tamper(self, tokens, self.sound(tokens))


def broken(make: Callable[[Mapping[str, int]], Fusion]) -> FusionSpec:
    class Toy(FusionSpec):
        kind: Literal["toy"] = "toy"

        def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> Fusion:
            return make(input_widths)

    return Toy()


def pooled(change: Callable[[Broken, Mapping[str, Tokens], Tensor], Tensor]) -> FusionSpec:
    """Early fusion with another vector."""

    def tamper(self: Broken, tokens: Mapping[str, Tokens], streams: dict[str, Fused]) -> dict[str, Fused]:
        return {name: replace(fused, pooled=change(self, tokens, fused.pooled)) for name, fused in streams.items()}

    return broken(lambda widths: Broken(ConcatFusion(widths, width=8), tamper))


def weight(change: Callable[[Fused, Tensor], Tensor]) -> FusionSpec:
    """Late fusion with other weights; `change` also learns which rows have any input."""

    def tamper(self: Broken, tokens: Mapping[str, Tokens], streams: dict[str, Fused]) -> dict[str, Fused]:
        some = torch.stack([fused.present for fused in streams.values()]).any(dim=0)
        return {name: replace(fused, weight=change(fused, some)) for name, fused in streams.items()}

    return broken(lambda widths: Broken(LateFusion(widths, width=8), tamper))


def ghost_stream(widths: Mapping[str, int]) -> Fusion:
    fusion = ConcatFusion(widths, width=8)
    fusion.streams = ("joint", "ghost")
    return fusion


def idle_parameter(widths: Mapping[str, int]) -> Fusion:
    fusion = ConcatFusion(widths, width=8)
    fusion.idle = nn.Parameter(torch.ones(2))
    return fusion


def hidden_factor(self: Broken, tokens: Mapping[str, Tokens], streams: dict[str, Fused]) -> dict[str, Fused]:
    self.factors = self.factors or [torch.ones(1, requires_grad=True)]
    return {name: replace(fused, pooled=fused.pooled * self.factors[0]) for name, fused in streams.items()}


def with_hidden_factor(widths: Mapping[str, int]) -> Fusion:
    fusion = Broken(ConcatFusion(widths, width=8), hidden_factor)
    fusion.factors = [torch.ones(1, requires_grad=True)]
    return fusion


class Deaf(ConcatFusion):
    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        age = tokens["age"]
        return super().forward({**tokens, "age": Tokens(torch.ones_like(age.values), age.mask, age.present)})


def empty_rows_divide_by_zero(self: Broken, tokens: Mapping[str, Tokens], vector: Tensor) -> Tensor:
    present = torch.stack([token.present for token in tokens.values()]).any(dim=0)
    return vector / present[:, None]


class ByPlace(WeightedFusion):
    """Says it removes what is absent, but only makes it small."""

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        joint = super().forward(tokens)["joint"]
        return {"joint": replace(joint, pooled=joint.pooled * presence(tokens).float().mean(dim=1, keepdim=True))}


class DropsByBatch(ConcatFusion):
    """In training it takes torch's own dropout, whose draws depend on who else is in the batch."""

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        joint = super().forward(tokens)["joint"]
        return {"joint": replace(joint, pooled=nn.functional.dropout(joint.pooled, 0.5, self.training))}


class Leaky(ConcatFusion):
    """Its tokens are as wide as its vectors, and hold what stands behind the mask."""

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        joint = super().forward(tokens)["joint"]
        contexts = {
            name: replace(one, values=one.values.mean(dim=2, keepdim=True).expand(-1, -1, 8))
            for name, one in tokens.items()
        }
        return {"joint": replace(joint, tokens=contexts)}


def with_objective(objective: Callable[[Tensor, Tensor, Tensor], LossTerm]) -> FusionSpec:
    """Early fusion with a loss: of a number for each row, a weight, and which rows have both of two inputs."""

    class Own(ConcatFusion):
        learns_alone = True

        def objectives(self, tokens: Mapping[str, Tokens], keys: Tensor | None = None) -> dict[str, LossTerm]:
            both = tokens["age"].present & tokens["photo"].present if "photo" in tokens else tokens["age"].present
            return {"own": objective(mean_token(tokens["age"]).sum(dim=1), self.mix.layers[0].weight.sum(), both)}

    return broken(lambda widths: Own(widths, width=8))


def reads_what_is_absent(age: Tensor, weight: Tensor, both: Tensor) -> LossTerm:
    return LossTerm((age * both * weight).sum(), both.sum())


def absent_rows_are_negatives(age: Tensor, weight: Tensor, both: Tensor) -> LossTerm:
    """A row without the second input is told apart from those that have it."""
    return LossTerm(hide(-(weight * hide(age, both)).log_softmax(dim=0), both).sum(), both.sum())


def no_length_has_no_slope(age: Tensor, weight: Tensor, both: Tensor) -> LossTerm:
    return LossTerm((weight * hide(age, both)).square().sum().sqrt(), both.sum())


def at_most_four(widths: Mapping[str, int]) -> Fusion:
    if len(widths) > 4:
        raise SpecError("too many")
    return ConcatFusion(widths, width=8)


BREAKERS: dict[str, FusionSpec] = {
    "spec_survives_json": Forgetful(width=4),
    "streams_are_as_declared": broken(ghost_stream),
    "every_parameter_learns": broken(idle_parameter),
    "nothing_learns_unseen": broken(with_hidden_factor),
    "every_input_matters": broken(lambda widths: Deaf(widths, width=8)),
    "rows_are_alone": pooled(
        lambda self, tokens, vector: vector if self.training else vector - 0.1 * vector.mean(dim=0)
    ),
    "rows_are_alone_in_training": broken(lambda widths: DropsByBatch(widths, width=8)),
    "contexts_are_sound": broken(lambda widths: Leaky(widths, width=8)),
    "padding_does_not_matter": pooled(lambda self, tokens, vector: vector / tokens["age"].values.shape[1]),
    "hidden_content_does_not_matter": pooled(
        lambda self, tokens, vector: vector + (0 * tokens.get("review", tokens["age"]).values).sum(dim=(1, 2))[:, None]
    ),
    "the_order_of_inputs_does_not_matter": pooled(
        lambda self, tokens, vector: vector * (1 if next(iter(tokens)) == "age" else 2)
    ),
    "weights_add_up_to_one": weight(lambda fused, some: torch.where(some, 0.9 * fused.weight, fused.weight)),
    "absent_streams_do_not_decide": weight(lambda fused, some: torch.full_like(fused.weight, 1 / 3)),
    "a_row_without_inputs_is_finite": pooled(empty_rows_divide_by_zero),
    "removal_is_exact": broken(lambda widths: ByPlace(widths, width=8)),
    "one_to_eight_inputs": broken(at_most_four),
    "gradients_are_right": pooled(lambda self, tokens, vector: vector * (1 + vector.detach() ** 2)),
    "state_dict_is_all": pooled(lambda self, tokens, vector: vector + self.offset.to(vector)),
    "objectives_see_what_is_there": with_objective(reads_what_is_absent),
    "objectives_count_their_rows": with_objective(absent_rows_are_negatives),
    "objectives_are_finite": with_objective(no_length_has_no_slope),
}


def test_every_check_has_a_breaker() -> None:
    assert list(BREAKERS) == [check.__name__ for check in CHECKS]


@pytest.mark.parametrize("check", BREAKERS)
def test_a_breaker_fails_exactly_its_check(check: str) -> None:
    assert list(suite.failures(CHECKS, BREAKERS[check])) == [check]


def test_the_error_names_the_component_and_the_check() -> None:
    with pytest.raises(AssertionError, match="fusion toy: every_input_matters: the content of 'age' changes nothing"):
        check_fusion(BREAKERS["every_input_matters"])
