"""Tokenizers, for inputs that read and for tasks that write, and what scores of written answers count."""

from motet.text.edits import edit_counts, edit_rate_of, levenshtein, longest_common
from motet.text.overlap import bleu_counts, bleu_of, chrf_counts, chrf_of, rouge_l_counts, rouge_l_of
from motet.text.spelling import spelling
from motet.text.tokenizer import PADDING, Tokenizer
from motet.text.words import lower_words, words_13a
from motet.text.written import words_of, written

__all__ = [
    "PADDING",
    "Tokenizer",
    "bleu_counts",
    "bleu_of",
    "chrf_counts",
    "chrf_of",
    "edit_counts",
    "edit_rate_of",
    "levenshtein",
    "longest_common",
    "lower_words",
    "rouge_l_counts",
    "rouge_l_of",
    "spelling",
    "words_13a",
    "words_of",
    "written",
]
