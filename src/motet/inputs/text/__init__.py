"""Text: a tokenizer trained on the user's own texts, and a recurrent or transformer encoder trained from scratch."""

from motet.inputs.text.encoder import GRULayers, TextEncoder, TransformerLayers
from motet.inputs.text.preparation import TextPreparation
from motet.inputs.text.spec import Text

__all__ = ["GRULayers", "Text", "TextEncoder", "TextPreparation", "TransformerLayers"]
