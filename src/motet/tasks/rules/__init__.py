"""Rules: how one task joins the decisions of several streams into one."""

from motet.tasks.rules.base import Joining, Opinion, PlainRule, Rule
from motet.tasks.rules.evidential import EvidentialOfClasses, EvidentialOfLogits
from motet.tasks.rules.gaussian import MeanOfGaussians, ProductOfGaussians, StackingOfGaussians
from motet.tasks.rules.mean import MeanOfClasses, MeanOfLogits, MeanOfNumbers
from motet.tasks.rules.normalgamma import EvidentialOfNumbers
from motet.tasks.rules.precision import ProductOfNumbers
from motet.tasks.rules.product import ProductOfClasses, ProductOfLogits
from motet.tasks.rules.rates import MeanOfRates, StackingOfRates
from motet.tasks.rules.stacking import Stacking, StackingOfClasses, StackingOfLogits, StackingOfNumbers, fit_shares
from motet.tasks.rules.uncertainty import UncertaintyOfClasses, UncertaintyOfLogits

__all__ = [
    "EvidentialOfClasses",
    "EvidentialOfLogits",
    "EvidentialOfNumbers",
    "Joining",
    "MeanOfClasses",
    "MeanOfGaussians",
    "MeanOfLogits",
    "MeanOfNumbers",
    "MeanOfRates",
    "Opinion",
    "PlainRule",
    "ProductOfClasses",
    "ProductOfGaussians",
    "ProductOfLogits",
    "ProductOfNumbers",
    "Rule",
    "Stacking",
    "StackingOfClasses",
    "StackingOfGaussians",
    "StackingOfLogits",
    "StackingOfNumbers",
    "StackingOfRates",
    "UncertaintyOfClasses",
    "UncertaintyOfLogits",
    "fit_shares",
]
