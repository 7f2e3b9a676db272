"""Text: start token, cutting off, padding, hiding words, the choice of an encoder."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from motet.core.errors import CellError
from motet.core.seed import generator
from motet.inputs import GRULayers, Text, TransformerLayers

TEXTS = ["the cat sat", "the dog", "a cat and a dog sat"] * 2


def test_a_text_is_a_start_token_and_its_tokens() -> None:
    preparation = Text().fit(TEXTS)
    ids = preparation.read("the cat")
    assert ids[0] == preparation.tokenizer.size
    assert ids.dtype == np.dtype(np.int32)
    assert preparation.tokenizer.decode(ids[1:]) == "the cat"


@pytest.mark.parametrize("cell", ["", "   ", "\n\t"])
def test_an_empty_text_is_a_start_token(cell: str) -> None:
    preparation = Text().fit(TEXTS)
    assert preparation.read(cell).tolist() == [preparation.tokenizer.size]
    assert preparation.batch([preparation.read(cell)])["mask"].tolist() == [[True]]


def test_texts_are_cut_off() -> None:
    assert Text().fit(TEXTS).max_tokens == 64, "there is room for texts longer than those trained on"
    assert Text().fit(["word " * 5000]).max_tokens == 256
    short = Text(max_tokens=2).fit(TEXTS)
    assert len(short.read(TEXTS[2])) == 3


def test_padding_stands_behind() -> None:
    preparation = Text().fit(TEXTS)
    values = preparation.batch([np.array([9], dtype=np.int32), np.array([9, 3, 4], dtype=np.int32)])
    assert values["ids"].tolist() == [[9, 0, 0], [9, 3, 4]]
    assert values["mask"].tolist() == [[True, False, False], [True] * 3]
    assert values["ids"].dtype == torch.int64


def test_words_are_hidden_at_the_asked_rate_and_the_start_never() -> None:
    preparation = Text(word_dropout=0.3).fit(TEXTS)
    item = np.arange(1, 1001, dtype=np.int32)
    varied = preparation.augment(item, generator(0))
    hidden = varied == preparation.num_ids - 1
    assert np.array_equal(varied[~hidden], item[~hidden])
    assert not hidden[0]
    assert hidden.mean() == pytest.approx(0.3, abs=0.05)


def test_every_id_has_an_embedding() -> None:
    preparation = Text().fit(TEXTS)
    encoder = Text(width=4).build(preparation)
    assert encoder.embedding.num_embeddings == preparation.num_ids
    ids = torch.tensor([[preparation.num_ids - 1]])
    assert encoder({"ids": ids, "mask": torch.ones(1, 1, dtype=torch.bool)}).values.isfinite().all()


def test_an_encoder_by_word_or_with_fields() -> None:
    assert Text.model_validate({"encoder": "gru"}).encoder == GRULayers()
    assert Text.model_validate({"encoder": {"kind": "transformer", "heads": 2}}).encoder == TransformerLayers(heads=2)
    with pytest.raises(ValidationError, match="'gru', 'transformer'"):
        Text.model_validate({"encoder": "lstm"})


@pytest.mark.parametrize(("cell", "text"), [(5.0, "5"), (True, "true"), (np.float64(0.5), "0.5"), (np.str_("a"), "a")])
def test_numbers_and_truth_are_read_as_they_are_written(cell: object, text: str) -> None:
    preparation = Text().fit(TEXTS)
    assert np.array_equal(preparation.read(cell), preparation.read(text))


@pytest.mark.parametrize("cell", [b"bytes", ["a", "b"], None])
def test_other_things_are_no_text(cell: object) -> None:
    with pytest.raises(CellError, match="expected text"):
        Text().fit(TEXTS).read(cell)
