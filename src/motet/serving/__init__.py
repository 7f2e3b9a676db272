"""Answers from a bundle."""

from motet.serving.predictor import Predictor
from motet.serving.restore import Restored, restore

__all__ = ["Predictor", "Restored", "restore"]
