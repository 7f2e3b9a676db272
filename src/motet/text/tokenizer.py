"""A byte-level BPE tokenizer, trained on the user's own texts."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
from jaxtyping import Int32

from motet.core.component import Frozen

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

PADDING = 0  # ids of texts start at 1


class Tokenizer(Frozen):
    """Byte pair encoding over bytes (Sennrich et al., ACL 2016; byte level: Radford et al. 2019).

    Every byte has a token, so any text at all can be written and nothing is unknown. Training is deterministic. Text is
    normalised to NFKC first, and lower-cased where asked.

    >>> tokenizer = Tokenizer.train(["low lower lowest"] * 3, vocabulary=270, lowercase=True)
    >>> tokenizer.decode(tokenizer.encode("Lower"))
    'lower'
    """

    state: str

    @classmethod
    def train(cls, texts: Iterable[str], *, vocabulary: int, lowercase: bool) -> Self:
        """Learn merges until there are `vocabulary` tokens, or no pair is left that occurs twice.

        The 256 bytes and the padding are always in, so the smallest vocabulary has 257 tokens.
        """
        from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers
        from tokenizers import Tokenizer as Engine

        engine = Engine(models.BPE())
        cleaning = [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
        engine.normalizer = normalizers.Sequence([*cleaning, *([normalizers.Lowercase()] if lowercase else [])])
        engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        engine.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=max(vocabulary - 1, 256),
            min_frequency=2,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        engine.train_from_iterator(texts, trainer)
        return cls(state=engine.to_str())

    def encode(self, text: str) -> Int32[np.ndarray, "T"]:
        """The token ids of a text, 1 and up; none for one that is empty or blank."""
        return np.array(self._engine.encode(text).ids, dtype=np.int32) + np.int32(1)

    def encode_words(self, words: Sequence[str]) -> tuple[Int32[np.ndarray, "T"], Int32[np.ndarray, "T"]]:
        """The ids of words that are encoded one by one, and the number of the word that each is part of.

        The ids are those of the text with a space between the words, unless normalisation or a merge reaches over it. A
        word that is blank has none.
        """
        found = self._engine.encode(list(words), is_pretokenized=True)
        return np.array(found.ids, dtype=np.int32) + np.int32(1), np.array(found.word_ids, dtype=np.int32)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """For each token of `encode` the characters of the text, first and behind the last, without space around them;
        tokens of parts of a character have it all.

        >>> Tokenizer.train(["low lower lowest"] * 3, vocabulary=270, lowercase=True).spans("Low  lower")[0]
        (0, 3)
        """
        found: list[tuple[int, int]] = []
        for start, end in self._engine.encode(text).offsets:
            whole = text[start:end]
            found.append((end - len(whole.lstrip()), start + len(whole.rstrip())) if whole.strip() else (end, end))
        return found

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these ids, as far as normalisation has left it."""
        text: str = self._engine.decode([int(token) - 1 for token in ids])
        return text.removeprefix(" ")

    @property
    def size(self) -> int:
        """How many tokens there are, padding included."""
        count: int = self._engine.get_vocab_size()
        return count + 1

    @cached_property
    def _engine(self) -> "Engine":
        from tokenizers import Tokenizer as Engine

        return Engine.from_str(self.state)
