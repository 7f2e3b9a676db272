"""Answers from a bundle."""

from motet.serving.explain import Explanation
from motet.serving.predictor import Predictor
from motet.serving.restore import Restored, restore

__all__ = ["Explanation", "Predictor", "Restored", "restore"]
