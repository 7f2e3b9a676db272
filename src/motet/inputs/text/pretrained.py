"""Texts as the ids of a pretrained model's own tokenizer. Shapes: n rows, T tokens."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int32
from torch import Tensor

from motet.core.errors import SpecError
from motet.inputs.base import Preparation, spread
from motet.inputs.pretrained import (
    Pretrained,
    config_of,
    family_of,
    tokenizer_of,
    width_of,
)
from motet.inputs.text.sample import LONGEST, longest_of
from motet.text import words_of, written

NO_WORD = -1
SAMPLED = 500
MOST_UNKNOWN = 0.9
"""Of the tokens of so many training texts; a tokenizer that knows less is not that of a trained model."""


class PretrainedTextPreparation(Preparation):
    """The tokenizer of a pretrained model, with its own start and end, and where texts are cut off.

    `config` is that of the model. With `words` each token knows the number of its word. With `whole` every text is
    padded to `max_tokens`, padding that the model reads as well, as it did when it was trained (SigLIP).
    """

    config: dict[str, Any]
    tokenizer: str
    padding: int
    max_tokens: int
    words: bool = False
    whole: bool = False

    @property
    def spelling(self) -> bool:
        """False: the model knows of a word what its tokens say."""
        return False

    @property
    def width(self) -> int:
        """That of the model's states."""
        return width_of(self.config)

    @property
    def varies(self) -> bool:
        """False: texts are read as they are."""
        return False

    def read(self, cell: object) -> Int32[np.ndarray, "*rest T"]:
        """The ids, with the tokens the model puts around a text; with `words` numbers of words are the second row.

        A text of which the tokenizer makes nothing is one token, that of padding: a model has to have one to read.
        """
        if not self.words:
            ids = self._tokenizer.encode(written(cell)).ids
            return np.array(ids or [self.padding], dtype=np.int32)
        found = self._tokenizer.encode(words_of(cell), is_pretokenized=True)
        word = [NO_WORD if number is None else number for number in found.word_ids]
        return np.array([found.ids or [self.padding], word or [NO_WORD]], dtype=np.int32)

    def augment(self, item: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """The item itself."""
        return item

    def distorted(
        self, item: np.ndarray, level: float, generator: np.random.Generator, *, other: np.ndarray
    ) -> np.ndarray:
        """Without each token but the first and the last at probability `level`; with `words`, whose number stays, one
        of the other text stands in its place.
        """
        gone = np.less(generator.random(item.shape[-1]), level)
        gone[[0, -1]] = False
        if not self.words:
            return np.asarray(item[~gone])
        changed = item.copy()
        changed[0, gone] = generator.choice(other[0], size=int(np.count_nonzero(gone)))
        return changed

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        """`{"ids": [n, T], "mask": [n, T]}`, padded behind; with `words` also `"word": [n, T]`, -1 for none."""
        lengths = np.array([item.shape[-1] for item in items])
        longest = self.max_tokens if self.whole else int(lengths.max())
        there = np.arange(longest) < lengths[:, None]
        rows = np.concatenate([np.atleast_2d(item) for item in items], axis=1).astype(np.int64)
        ids = np.full(there.shape, self.padding, dtype=np.int64)
        ids[there] = rows[0]
        mask = torch.from_numpy(np.ones_like(there) if self.whole else there)
        tensors = {"ids": torch.from_numpy(ids), "mask": mask}
        if self.words:
            word = np.full(there.shape, NO_WORD, dtype=np.int64)
            word[there] = rows[1]
            tensors["word"] = torch.from_numpy(word)
        return tensors

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.tokenizer)
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.max_tokens)
        return tokenizer


def fit_pretrained(
    encoder: Pretrained, texts: Sequence[str | list[str]], *, max_tokens: int | Literal["auto"], words: bool
) -> PretrainedTextPreparation:
    """The tokenizer of the model, and where texts are cut off: at most where the model can read no further."""
    family, config = family_of(config_of(encoder.model), "text")
    tokenizer = tokenizer_of(encoder.model)
    most = _most(tokenizer, config)
    found = PretrainedTextPreparation(
        config=config,
        tokenizer=tokenizer.backend_tokenizer.to_str(),
        padding=_padding(tokenizer),
        max_tokens=most,
        words=words,
        whole=family.name == "SiglipTextModel",
    )
    _check_known(tokenizer, texts, encoder.model)
    if found.whole:
        return found
    wanted = longest_of([found.read(text).shape[-1] for text in texts]) if max_tokens == "auto" else max_tokens
    return found.model_copy(update={"max_tokens": min(wanted, most)})


def _check_known(tokenizer: Any, texts: Sequence[str | list[str]], model: str) -> None:
    """Refuse a tokenizer to which most of the training texts are unknown: it is not that of a trained model."""
    unknown, some = tokenizer.unk_token_id, [written(one) for one in spread(texts, SAMPLED)]
    ids = [one for text in some for one in tokenizer(text, add_special_tokens=False)["input_ids"]]
    part = ids.count(unknown) / len(ids) if ids and unknown is not None else 0.0
    if part > MOST_UNKNOWN:
        raise SpecError(
            f"encoder.model: {part:.0%} of the tokens of the training texts are unknown to the tokenizer of {model!r}, "
            f"which knows {len(tokenizer)}; give the folder the tokenizer that the model was trained with"
        )


def _padding(tokenizer: Any) -> int:
    """The token of padding; where the tokenizer has none, that of what it does not know, or else its first."""
    found = (tokenizer.pad_token_id, tokenizer.unk_token_id)
    return next((int(one) for one in found if one is not None), 0)


def _most(tokenizer: Any, config: Mapping[str, Any]) -> int:
    """How many tokens the model can read, its own start and end among them."""
    positions = int(config.get("max_position_embeddings", LONGEST))
    before = 2 if config["model_type"] == "roberta" else 0  # its positions start behind that of padding
    return max(1, min(LONGEST, positions - before, int(tokenizer.model_max_length)))
