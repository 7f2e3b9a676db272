"""The operators that make one stream of all inputs: each may stand alone, or be the joint stream of a hybrid."""

from motet.fusion.concat import Concat
from motet.fusion.weighted import Weighted

Joint = Concat | Weighted
