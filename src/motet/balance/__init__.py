"""The balance room: the junction between shared and own parts, and the methods that weigh tasks and inputs."""

from typing import Annotated

from pydantic import Field

from motet.balance.base import Balancer, BalancerSpec, ThrottleSpec
from motet.balance.junction import Junction
from motet.balance.modality_none import IdentityThrottle, NoThrottle
from motet.balance.task_fixed import Fixed, FixedBalancer
from motet.balance.task_mgda import MGDA, MGDABalancer
from motet.balance.task_uncertainty import Uncertainty, UncertaintyBalancer
from motet.balance.throttle import Throttle
from motet.balance.witness import Witness

AnyTaskBalancer = Annotated[Fixed | MGDA | Uncertainty, Field(discriminator="kind")]
AnyModalityBalancer = NoThrottle  # becomes a union with `discriminator="kind"` when a second kind arrives

__all__ = [
    "MGDA",
    "AnyModalityBalancer",
    "AnyTaskBalancer",
    "Balancer",
    "BalancerSpec",
    "Fixed",
    "FixedBalancer",
    "IdentityThrottle",
    "Junction",
    "MGDABalancer",
    "NoThrottle",
    "Throttle",
    "ThrottleSpec",
    "Uncertainty",
    "UncertaintyBalancer",
    "Witness",
]
