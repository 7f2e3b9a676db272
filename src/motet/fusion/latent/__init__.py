"""Fusion in one space that all inputs share: each can be compared with, and predicted from, the others."""

from motet.fusion.latent.correlation import LinearCCA, linear_cca
from motet.fusion.latent.module import LatentFusion
from motet.fusion.latent.spec import Latent

__all__ = ["Latent", "LatentFusion", "LinearCCA", "linear_cca"]
