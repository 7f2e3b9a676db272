"""What an input holds, from the features of the row: auto-encoding, masked modelling, and filling in what is absent."""

from motet.tasks.reconstruction.arrays import ArrayCodec
from motet.tasks.reconstruction.head import ArrayHead, IdsHead
from motet.tasks.reconstruction.ids import IdsCodec
from motet.tasks.reconstruction.spec import Reconstruction

__all__ = ["ArrayCodec", "ArrayHead", "IdsCodec", "IdsHead", "Reconstruction"]
