"""The fusion room: operators that make one or several streams out of the tokens of all inputs."""

from typing import Annotated

from pydantic import Field

from motet.fusion.base import Fusion, FusionSpec
from motet.fusion.concat import Concat, ConcatFusion
from motet.fusion.hybrid import Hybrid, HybridFusion
from motet.fusion.joint import Joint
from motet.fusion.late import Late, LateFusion
from motet.fusion.weighted import Weighted, WeightedFusion

AnyFusion = Annotated[Joint | Hybrid | Late, Field(discriminator="kind")]

__all__ = [
    "AnyFusion",
    "Concat",
    "ConcatFusion",
    "Fusion",
    "FusionSpec",
    "Hybrid",
    "HybridFusion",
    "Late",
    "LateFusion",
    "Weighted",
    "WeightedFusion",
]
