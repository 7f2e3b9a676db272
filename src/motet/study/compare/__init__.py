"""Comparing: variants of an experiment trained side by side and ranked, and finished runs compared where they are."""

from motet.study.compare.compare import compare
from motet.study.compare.comparison import Comparison
from motet.study.compare.runs import compare_runs

__all__ = ["Comparison", "compare", "compare_runs"]
