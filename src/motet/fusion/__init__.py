"""The fusion room: operators that make one or several streams out of the tokens of all inputs."""

from typing import Annotated

from pydantic import Field

from motet.fusion.auto import Auto
from motet.fusion.base import Fusion, FusionSpec
from motet.fusion.bilinear import Bilinear, BilinearFusion
from motet.fusion.bottleneck import Bottleneck, BottleneckFusion
from motet.fusion.coattention import CoAttention, CoAttentionFusion
from motet.fusion.concat import Concat, ConcatFusion
from motet.fusion.crossattention import CrossAttention, CrossAttentionFusion
from motet.fusion.deepset import DeepSet, DeepSetFusion
from motet.fusion.factors import Factors, FactorsFusion
from motet.fusion.film import FiLM, FiLMFusion
from motet.fusion.gated import Gated, GatedFusion
from motet.fusion.hybrid import Hybrid, HybridFusion
from motet.fusion.joint import Joint
from motet.fusion.late import Late, LateFusion
from motet.fusion.latent import Latent, LatentFusion, LinearCCA, linear_cca
from motet.fusion.lowrank import LowRank, LowRankFusion
from motet.fusion.mapconcat import MapConcatFusion
from motet.fusion.perceiver import Perceiver, PerceiverFusion
from motet.fusion.rbm import RBM, RBMFusion
from motet.fusion.tensor import Tensor, TensorFusion
from motet.fusion.transformer import Transformer, TransformerFusion
from motet.fusion.weighted import Weighted, WeightedFusion

AnyFusion = Annotated[Auto | Joint | Hybrid | Late, Field(discriminator="kind")]

__all__ = [
    "RBM",
    "AnyFusion",
    "Auto",
    "Bilinear",
    "BilinearFusion",
    "Bottleneck",
    "BottleneckFusion",
    "CoAttention",
    "CoAttentionFusion",
    "Concat",
    "ConcatFusion",
    "CrossAttention",
    "CrossAttentionFusion",
    "DeepSet",
    "DeepSetFusion",
    "Factors",
    "FactorsFusion",
    "FiLM",
    "FiLMFusion",
    "Fusion",
    "FusionSpec",
    "Gated",
    "GatedFusion",
    "Hybrid",
    "HybridFusion",
    "Late",
    "LateFusion",
    "Latent",
    "LatentFusion",
    "LinearCCA",
    "LowRank",
    "LowRankFusion",
    "MapConcatFusion",
    "Perceiver",
    "PerceiverFusion",
    "RBMFusion",
    "Tensor",
    "TensorFusion",
    "Transformer",
    "TransformerFusion",
    "Weighted",
    "WeightedFusion",
    "linear_cca",
]
