"""Text: start token, cutting off, padding, hiding words, the choice of an encoder."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from motet.core.errors import CellError
from motet.core.flow import Cells
from motet.core.seed import generator
from motet.inputs import GRULayers, Text, TextPreparation, TransformerLayers
from motet.model.presence import PresentOnly
from motet.text import spelling

TEXTS = ["the cat sat", "the dog", "a cat and a dog sat"] * 2
WORDS = [text.split() for text in TEXTS]


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


@pytest.mark.parametrize("cell", [b"bytes", ["a", b"b"], ["a", None], [["a"]], None])
def test_other_things_are_no_text(cell: object) -> None:
    with pytest.raises(CellError, match="expected text"):
        Text().fit(TEXTS).read(cell)


# --- words told apart


def fitted(**fields: Any) -> TextPreparation:
    return Text(vocabulary=300, **fields).fit(WORDS)


@pytest.mark.parametrize("spec", [Text(), Text(words=False), Text(words=True), Text(spelling=True)])
@pytest.mark.parametrize("cells", [TEXTS, WORDS])
def test_words_are_told_apart_where_cells_are_lists_or_it_is_asked_for(spec: Text, cells: list[object]) -> None:
    wanted = spec.words if isinstance(spec.words, bool) else cells is WORDS or spec.spelling is True
    preparation = spec.fit(cells)
    assert (preparation.words, preparation.spelling) == (wanted, wanted)
    assert spec.resolved(preparation).words is wanted
    assert spec.resolved(preparation).spelling is wanted


def test_spelling_needs_words() -> None:
    assert not Text(words=True, spelling=False).fit(TEXTS).spelling
    with pytest.raises(ValidationError, match="spelling is that of words"):
        Text(words=False, spelling=True)


def test_a_list_is_a_text_with_spaces_where_words_are_not_told_apart() -> None:
    preparation = Text(words=False).fit(TEXTS)
    assert np.array_equal(preparation.read(["the", "cat"]), preparation.read("the cat"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="abAcé,.'!1", min_size=1), max_size=8))
def test_ids_are_those_of_the_joined_text_and_lead_back_to_their_words(words: list[str]) -> None:
    preparation = KNOWN
    item = preparation.read(words)
    joined = preparation.tokenizer.encode(" ".join(words))
    assert item[0].tolist() == [preparation.tokenizer.size, *joined]
    assert item[1, 0] == -1
    for number, word in enumerate(words):
        spelt = preparation.tokenizer.decode(item[0, item[1] == number])
        assert spelt == word.lower()
    assert (np.diff(item[1]) >= 0).all()


@pytest.mark.parametrize("words", [[""], ["", "cat", " ", ""], []])
def test_a_blank_word_is_a_hidden_token(words: list[str]) -> None:
    item = KNOWN.read(words)
    assert sorted(set(item[1, 1:].tolist())) == list(range(len(words)))
    for number, word in enumerate(words):
        if not word.strip():
            assert item[0, item[1] == number].tolist() == [KNOWN.num_ids - 1]


def test_text_has_the_words_that_white_space_divides() -> None:
    assert np.array_equal(KNOWN.read(" the\tcat "), KNOWN.read(["the", "cat"]))


def test_words_behind_the_end_have_no_tokens() -> None:
    preparation = fitted(max_tokens=3)
    item = preparation.read(["the", "cat", "zzzzzz", "dog"])
    assert item.shape == (2 + 10, 4)
    assert item[1].tolist() == [-1, 0, 1, 2], "a word is cut off like a text is"


def test_spelling_stands_beside_every_token_of_its_word() -> None:
    item = KNOWN.read(["the", "Zzz"])
    for place, word in enumerate(item[1].tolist()):
        assert tuple(item[2:, place]) == ((0,) * 10 if word < 0 else spelling(["the", "Zzz"][word]))
    assert len(fitted(spelling=False).read(["the"])) == 2


def test_words_are_hidden_whole_at_the_asked_rate() -> None:
    preparation = fitted(word_dropout=0.3, max_tokens=10**5)
    item = preparation.read(["the", "zzzz", "cat"] * 400)
    before = item.copy()
    varied = preparation.augment(item, generator(0))
    assert np.array_equal(item, before)
    hidden = np.array([(varied[0, item[1] == number] == preparation.num_ids - 1).all() for number in range(1200)])
    assert hidden.mean() == pytest.approx(0.3, abs=0.05)
    of_hidden = np.isin(item[1], np.flatnonzero(hidden))
    assert np.array_equal(varied[:, ~of_hidden], item[:, ~of_hidden])
    assert np.array_equal(varied[1], item[1]), "words keep their numbers"
    assert not varied[2:, of_hidden].any(), "nor is it told how a hidden word is spelt"
    assert varied[0, 0] == item[0, 0], "the start is never hidden"


def test_a_batch_of_words_is_padded_behind() -> None:
    values = KNOWN.batch([KNOWN.read([]), KNOWN.read(["the", "cat"])])
    assert {name: tensor.dtype for name, tensor in values.items() if name != "mask"} == dict.fromkeys(
        ("ids", "word", "spelling"), torch.int64
    )
    assert values["mask"].tolist()[0] == [True] + [False] * (values["mask"].shape[1] - 1)
    assert (values["word"][0] == -1).all()
    assert not values["spelling"][0].any()
    assert values["spelling"].shape == (*values["ids"].shape, 10)


def test_the_embedding_of_a_token_is_the_sum_of_its_own_and_of_its_word_s_spelling() -> None:
    torch.manual_seed(0)
    encoder = Text(vocabulary=300, width=6).build(KNOWN).eval()
    encoder.context, encoder.dropout = torch.nn.ModuleList(), encoder.dropout[:1]
    values = KNOWN.batch([KNOWN.read(["the", "zebra"])])
    tokens = encoder(values)
    assert torch.equal(tokens.word, values["word"])
    for place in range(tokens.mask.shape[1]):
        expected = encoder.embedding.weight[values["ids"][0, place]]
        for feature in values["spelling"][0, place].tolist():
            if feature:
                expected = expected + encoder.spelling.embedding.weight[feature]  # type: ignore[union-attr]
        torch.testing.assert_close(tokens.values[0, place], expected)


def test_what_stands_in_padding_of_words_changes_nothing() -> None:
    torch.manual_seed(0)
    encoder = Text(vocabulary=300, width=6).build(KNOWN).eval()
    values = KNOWN.batch([KNOWN.read(["the"]), KNOWN.read(["the", "cat", "sat"])])
    there = values["mask"]
    dirty = {
        "mask": there,
        "ids": torch.where(there, values["ids"], 7),
        "word": torch.where(there, values["word"], 0),
        "spelling": torch.where(there[:, :, None], values["spelling"], 5),
    }
    assert torch.equal(encoder(dirty).values, encoder(values).values)


def test_words_survive_where_an_input_is_absent() -> None:
    encoder = PresentOnly(Text(vocabulary=300, width=6).build(KNOWN)).eval()
    encoder.keeps_parts = True
    values = KNOWN.batch([KNOWN.read(["the", "cat"])] * 3)
    tokens = encoder(Cells(values, torch.tensor([True, False, True])))
    assert tokens.word is not None
    assert torch.equal(tokens.word[::2], values["word"][::2])
    assert (tokens.word[1] == -1).all()


KNOWN = fitted(max_tokens=1000)
