"""How long until something happens, where for some rows it had not happened yet when they were last seen."""

from motet.tasks.survival.codec import SurvivalCodec
from motet.tasks.survival.concordance import concordance
from motet.tasks.survival.cox import partial_likelihood
from motet.tasks.survival.hazard import Baseline
from motet.tasks.survival.task import Survival

__all__ = ["Baseline", "Survival", "SurvivalCodec", "concordance", "partial_likelihood"]
