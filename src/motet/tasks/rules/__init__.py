"""Rules: how one task joins the decisions of several streams into one."""

from motet.tasks.rules.base import Joining, Opinion, PlainRule, Rule
from motet.tasks.rules.mean import MeanOfClasses, MeanOfLogits, MeanOfNumbers

__all__ = ["Joining", "MeanOfClasses", "MeanOfLogits", "MeanOfNumbers", "Opinion", "PlainRule", "Rule"]
