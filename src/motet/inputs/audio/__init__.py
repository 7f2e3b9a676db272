"""Sounds: log-mel frames through a CNN from scratch, statistics of cepstral coefficients, or a pretrained model."""

from motet.inputs.audio.encoder import AudioEncoder
from motet.inputs.audio.mfcc import MFCC, MFCCEncoder
from motet.inputs.audio.preparation import AudioPreparation
from motet.inputs.audio.spec import Audio

__all__ = ["MFCC", "Audio", "AudioEncoder", "AudioPreparation", "MFCCEncoder"]
