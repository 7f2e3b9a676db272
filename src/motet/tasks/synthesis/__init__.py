"""Speaking: a sound, made by way of its spectrogram."""

from motet.tasks.synthesis.codec import SynthesisCodec
from motet.tasks.synthesis.head import SynthesisHead
from motet.tasks.synthesis.spec import Synthesis

__all__ = ["Synthesis", "SynthesisCodec", "SynthesisHead"]
