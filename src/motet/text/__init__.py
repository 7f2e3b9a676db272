"""Tokenizers, for inputs that read and for tasks that write."""

from motet.text.tokenizer import PADDING, Tokenizer

__all__ = ["PADDING", "Tokenizer"]
