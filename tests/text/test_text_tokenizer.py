"""The tokenizer: any text at all, the same every time."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.text import PADDING, Tokenizer

CORPUS = ["Low lower lowest", "new newer newest", "wide wider widest"] * 3
TRAINED = Tokenizer.train(CORPUS, vocabulary=300, lowercase=False)


@given(st.text())
def test_any_text_can_be_written_and_none_needs_padding(text: str) -> None:
    ids = TRAINED.encode(text)
    assert ((ids > PADDING) & (ids < TRAINED.size)).all()


@given(st.lists(st.text(alphabet="abcé😀.,!1", min_size=1), min_size=1))
def test_clean_text_survives(words: list[str]) -> None:
    text = " ".join(words)
    assert TRAINED.decode(TRAINED.encode(text)) == text


@pytest.mark.parametrize("text", ["", " ", "\t\n ", "\u3000"])
def test_blank_text_has_no_tokens(text: str) -> None:
    assert len(TRAINED.encode(text)) == 0


@pytest.mark.parametrize("text", ["<pad>", "<s>", "[UNK]", "a<pad>b"])
def test_no_text_is_special(text: str) -> None:
    assert TRAINED.decode(TRAINED.encode(text)) == text


def test_a_frequent_word_is_one_token_and_a_new_one_several() -> None:
    assert len(TRAINED.encode("lower")) < len(TRAINED.encode("qzxjv"))


def test_training_again_gives_the_same_tokenizer() -> None:
    assert Tokenizer.train(CORPUS, vocabulary=300, lowercase=False) == TRAINED


def test_the_state_is_all_there_is() -> None:
    restored = Tokenizer.model_validate_json(TRAINED.model_dump_json())
    copied = pickle.loads(pickle.dumps(TRAINED))  # what a loader worker gets
    for other in (restored, copied):
        assert other.encode("newest thing").tolist() == TRAINED.encode("newest thing").tolist()


def test_case_is_kept_or_not() -> None:
    lower = Tokenizer.train(CORPUS, vocabulary=300, lowercase=True)
    assert lower.encode("LOW").tolist() == lower.encode("low").tolist()
    assert TRAINED.encode("LOW").tolist() != TRAINED.encode("low").tolist()


def test_spaces_and_compatible_forms_are_one() -> None:
    assert TRAINED.encode(" low\n\t lower ").tolist() == TRAINED.encode("low lower").tolist()
    assert TRAINED.encode("ﬁne").tolist() == TRAINED.encode("fine").tolist()


@pytest.mark.parametrize("corpus", [[], [""], ["a"], ["   "]])
def test_hardly_any_corpus_still_gives_the_bytes(corpus: list[str]) -> None:
    tokenizer = Tokenizer.train(corpus, vocabulary=8000, lowercase=True)
    assert tokenizer.size == 257
    assert tokenizer.decode(tokenizer.encode("any text")) == "any text"


def test_the_vocabulary_is_a_limit() -> None:
    assert TRAINED.size <= 300
    assert Tokenizer.train(CORPUS, vocabulary=1, lowercase=True).size == 257
