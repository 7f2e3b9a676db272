"""Hybrid fusion: a joint stream beside one per input."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import torch
from jaxtyping import Int64
from pydantic import BeforeValidator, Field, model_validator
from torch import Tensor

from motet.core.component import shorthand
from motet.core.flow import Fused, LossTerm, Tokens
from motet.fusion.base import Fusion, FusionSpec, Grids
from motet.fusion.concat import Concat
from motet.fusion.joint import Joint
from motet.fusion.late import Weights, check_shares_count, with_auxiliary
from motet.fusion.project import Projections, presence
from motet.fusion.shares import DecisionShares


def _joint(given: Any) -> Any:
    """A word for a Spec; those that decide once per input have no joint stream."""
    given = shorthand(given)
    if isinstance(given, Mapping) and given.get("kind") in ("late", "hybrid"):
        raise ValueError(f"{given['kind']} decides once per input, so it has no joint stream; choose another kind")
    return given


class Hybrid(FusionSpec):
    """The fused inputs decide, and every input on its own too; the decisions are joined.

    Left out, `auxiliary` is 1 at rules uncertainty and evidential, which train each stream by its own loss too, else 0.

    >>> Hybrid(fusion=Concat(width=16)).build({"photo": 8, "review": 4}).streams
    ('joint', 'photo', 'review')
    """

    kind: Literal["hybrid"] = "hybrid"
    fusion: Annotated[Joint, Field(discriminator="kind"), BeforeValidator(_joint)] = Field(
        default=Concat(), description="How the joint stream is fused; its width is that of every stream."
    )
    rule: Literal["mean", "product", "uncertainty", "evidential"] = Field(
        default="mean",
        description="How decisions are joined: mean, product of experts, by how sure each is in the row, or by "
        "Dempster's rule on their evidence.",
    )
    weights: Weights = Field(
        default="mean", description="Shares in the decision: mean, learned, or a number for `joint` and for each input."
    )
    auxiliary: float = Field(
        default=0.0,
        ge=0,
        description="Weight of each stream's own loss beside the joint decision's; 1 where the rule asks for it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _auxiliary_of_the_rule(cls, given: Any) -> Any:
        return with_auxiliary(given)

    @model_validator(mode="after")
    def _weights_are_heeded(self) -> Self:
        check_shares_count(self.rule, self.weights)
        return self

    @property
    def whole_batch(self) -> bool:
        """As the joint stream's fusion has it."""
        return self.fusion.whole_batch

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> "HybridFusion":
        """Refuses weights that do not name exactly the streams."""
        joint = self.fusion.build(input_widths, grids=grids)
        return HybridFusion(joint, input_widths, rule=self.rule, weights=self.weights, auxiliary=self.auxiliary)


class HybridFusion(Fusion):
    """The stream of `joint`, an operator with one stream, beside `h_m = P_m x_m` for each input m.

    Shares in the decision are as in `LateFusion`; the joint stream is present where any input is. It is called
    "joint", with an underscore added where an input has that name.

    >>> joint = Concat(width=4).build({"joint": 2})
    >>> HybridFusion(joint, {"joint": 2}).streams
    ('joint_', 'joint')
    """

    def __init__(
        self,
        joint: Fusion,
        input_widths: Mapping[str, int],
        *,
        rule: str = "mean",
        weights: Weights = "mean",
        auxiliary: float = 0.0,
    ) -> None:
        super().__init__()
        self.inputs = tuple(sorted(input_widths))
        self.joint_stream = "joint"
        while self.joint_stream in self.inputs:
            self.joint_stream += "_"
        self.output_width = joint.output_width
        self.exact, self.contextual, self.learns_alone = joint.exact, joint.contextual, joint.learns_alone
        self.streams = (self.joint_stream, *self.inputs)
        self.rule = rule
        self.auxiliary = auxiliary
        self.joint = joint
        self.project = Projections(input_widths, width=joint.output_width)
        self.shares = DecisionShares(self.streams, weights=weights)

    def forward(self, tokens: Mapping[str, Tokens]) -> dict[str, Fused]:
        """The joint stream and one per input, under the input's name."""
        (joint,) = self.joint(tokens).values()
        present = torch.cat([joint.present[:, None], presence(tokens)], dim=1)
        vectors = {self.joint_stream: joint.pooled, **self.project(tokens)}
        contexts = {self.joint_stream: joint.tokens, **dict.fromkeys(self.inputs)}
        shares = self.shares(present)
        return {
            stream: Fused(vectors[stream], present[:, column], shares[:, column], tokens=contexts[stream])
            for column, stream in enumerate(self.streams)
        }

    def objectives(self, tokens: Mapping[str, Tokens], keys: Int64[Tensor, "B"] | None = None) -> dict[str, LossTerm]:
        """Those of the joint stream's operator."""
        return self.joint.objectives(tokens, keys)
