"""Regression: a number or several, by a point, by quantiles, or by a mean and a deviation."""

from motet.tasks.regression.gaussian import GaussianCodec
from motet.tasks.regression.point import RegressionCodec
from motet.tasks.regression.quantile import QuantileCodec
from motet.tasks.regression.several import SeveralCodec
from motet.tasks.regression.spec import OneNumber, Regression

__all__ = ["GaussianCodec", "OneNumber", "QuantileCodec", "Regression", "RegressionCodec", "SeveralCodec"]
