"""The balance room: the junction between shared and own parts, and the methods that weigh tasks and inputs."""

from typing import Annotated

from pydantic import Field

from motet.balance.base import Balancer, BalancerSpec, ThrottleSpec
from motet.balance.junction import Junction
from motet.balance.modality_agm import AGM, AGMThrottle
from motet.balance.modality_blend import Blend, BlendThrottle
from motet.balance.modality_mmpareto import MMPareto, MMParetoThrottle
from motet.balance.modality_none import IdentityThrottle, NoThrottle
from motet.balance.modality_ogm import OGM, OGMThrottle
from motet.balance.modality_pmr import PMR, PMRThrottle
from motet.balance.modality_resample import Resample, ResampleThrottle
from motet.balance.task_fixed import Fixed, FixedBalancer
from motet.balance.task_mgda import MGDA, MGDABalancer
from motet.balance.task_uncertainty import Uncertainty, UncertaintyBalancer
from motet.balance.throttle import Throttle
from motet.balance.witness import Witness

AnyTaskBalancer = Annotated[Fixed | MGDA | Uncertainty, Field(discriminator="kind")]
AnyModalityBalancer = Annotated[NoThrottle | OGM | AGM | PMR | Blend | MMPareto | Resample, Field(discriminator="kind")]

__all__ = [
    "AGM",
    "MGDA",
    "OGM",
    "PMR",
    "AGMThrottle",
    "AnyModalityBalancer",
    "AnyTaskBalancer",
    "Balancer",
    "BalancerSpec",
    "Blend",
    "BlendThrottle",
    "Fixed",
    "FixedBalancer",
    "IdentityThrottle",
    "Junction",
    "MGDABalancer",
    "MMPareto",
    "MMParetoThrottle",
    "NoThrottle",
    "OGMThrottle",
    "PMRThrottle",
    "Resample",
    "ResampleThrottle",
    "Throttle",
    "ThrottleSpec",
    "Uncertainty",
    "UncertaintyBalancer",
    "Witness",
]
