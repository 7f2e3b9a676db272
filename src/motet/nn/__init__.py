"""Blocks that know no room: perceptrons, attention, convolutions, pooling, writing, and dropout keyed by row."""

from motet.nn.attention import Attention, Transformer, TransformerBlock
from motet.nn.beam import Beam
from motet.nn.conv import ResidualBlock, StandardConv2d, group_norm
from motet.nn.ctc import ctc_best_path, ctc_fits, ctc_loss
from motet.nn.ctc_search import ctc_prefix_search
from motet.nn.decoder import Decoder, DecoderState
from motet.nn.dropout import Dropout, salt_dropouts
from motet.nn.frames import FrameBlock, FrameConv
from motet.nn.generate import Greedy, Sampling, generate
from motet.nn.given import Given, fingerprint, given_state, learned_state, load_learned
from motet.nn.keyed import bernoulli, current_row_keys, keys_of, row_keys, uniform
from motet.nn.mlp import MLP
from motet.nn.paced import Paced
from motet.nn.pooling import hide, masked_mean
from motet.nn.recurrent import BidirectionalGRU

__all__ = [
    "MLP",
    "Attention",
    "Beam",
    "BidirectionalGRU",
    "Decoder",
    "DecoderState",
    "Dropout",
    "FrameBlock",
    "FrameConv",
    "Given",
    "Greedy",
    "Paced",
    "ResidualBlock",
    "Sampling",
    "StandardConv2d",
    "Transformer",
    "TransformerBlock",
    "bernoulli",
    "ctc_best_path",
    "ctc_fits",
    "ctc_loss",
    "ctc_prefix_search",
    "current_row_keys",
    "fingerprint",
    "generate",
    "given_state",
    "group_norm",
    "hide",
    "keys_of",
    "learned_state",
    "load_learned",
    "masked_mean",
    "row_keys",
    "salt_dropouts",
    "uniform",
]
