"""Writing text: captions, translations, summaries, answers."""

from motet.tasks.generation.codec import GenerationCodec
from motet.tasks.generation.head import GenerationHead
from motet.tasks.generation.search import AnySearch, BeamSearch, GreedySearch, Sample
from motet.tasks.generation.spec import Generation

__all__ = [
    "AnySearch",
    "BeamSearch",
    "Generation",
    "GenerationCodec",
    "GenerationHead",
    "GreedySearch",
    "Sample",
]
