"""Writing down what is said in a sound."""

from motet.tasks.transcription.codec import TranscriptionCodec
from motet.tasks.transcription.head import TranscriptionHead
from motet.tasks.transcription.spec import Transcription

__all__ = ["Transcription", "TranscriptionCodec", "TranscriptionHead"]
