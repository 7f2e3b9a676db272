"""Blocks that know no room: perceptrons, attention, convolutions, pooling, and dropout keyed by row."""

from motet.nn.attention import Attention, Transformer, TransformerBlock
from motet.nn.conv import ResidualBlock, group_norm
from motet.nn.dropout import Dropout, salt_dropouts
from motet.nn.frames import FrameBlock, FrameConv
from motet.nn.keyed import bernoulli, current_row_keys, keys_of, row_keys, uniform
from motet.nn.mlp import MLP
from motet.nn.pooling import hide, masked_mean
from motet.nn.recurrent import BidirectionalGRU

__all__ = [
    "MLP",
    "Attention",
    "BidirectionalGRU",
    "Dropout",
    "FrameBlock",
    "FrameConv",
    "ResidualBlock",
    "Transformer",
    "TransformerBlock",
    "bernoulli",
    "current_row_keys",
    "group_norm",
    "hide",
    "keys_of",
    "masked_mean",
    "row_keys",
    "salt_dropouts",
    "uniform",
]
