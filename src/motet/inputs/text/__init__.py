"""Text: a tokenizer trained on the user's own texts and an encoder from scratch, TF-IDF, or a pretrained model."""

from motet.inputs.text.encoder import GRULayers, TextEncoder, TransformerLayers
from motet.inputs.text.preparation import TextPreparation
from motet.inputs.text.spec import Text
from motet.inputs.text.terms import TermPreparation
from motet.inputs.text.tfidf import TermEncoder, Tfidf

__all__ = [
    "GRULayers",
    "TermEncoder",
    "TermPreparation",
    "Text",
    "TextEncoder",
    "TextPreparation",
    "Tfidf",
    "TransformerLayers",
]
