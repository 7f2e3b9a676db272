"""Ordinal: one of several labels that have an order, by the proportional-odds model."""

from motet.tasks.ordinal.codec import OrdinalCodec, median_level
from motet.tasks.ordinal.head import OrdinalHead
from motet.tasks.ordinal.spec import Ordinal

__all__ = ["Ordinal", "OrdinalCodec", "OrdinalHead", "median_level"]
