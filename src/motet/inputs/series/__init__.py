"""Series: steps of numbers or labels, at even times or any, and points in no order; a CNN or a transformer."""

from motet.inputs.series.encoder import CNNLayers, SeriesCNNEncoder, SeriesTransformerEncoder
from motet.inputs.series.preparation import SeriesPreparation
from motet.inputs.series.spec import Series

__all__ = ["CNNLayers", "Series", "SeriesCNNEncoder", "SeriesPreparation", "SeriesTransformerEncoder"]
