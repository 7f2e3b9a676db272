"""The operators that make one stream of all inputs: each may stand alone, or be the joint stream of a hybrid."""

from motet.fusion.bilinear import Bilinear
from motet.fusion.bottleneck import Bottleneck
from motet.fusion.coattention import CoAttention
from motet.fusion.concat import Concat
from motet.fusion.crossattention import CrossAttention
from motet.fusion.deepset import DeepSet
from motet.fusion.factors import Factors
from motet.fusion.film import FiLM
from motet.fusion.gated import Gated
from motet.fusion.latent import Latent
from motet.fusion.lowrank import LowRank
from motet.fusion.perceiver import Perceiver
from motet.fusion.rbm import RBM
from motet.fusion.tensor import Tensor
from motet.fusion.transformer import Transformer
from motet.fusion.weighted import Weighted

Joint = (
    Concat
    | Weighted
    | Gated
    | FiLM
    | DeepSet
    | Bilinear
    | Tensor
    | LowRank
    | CrossAttention
    | CoAttention
    | Bottleneck
    | Transformer
    | Perceiver
    | Latent
    | Factors
    | RBM
)
