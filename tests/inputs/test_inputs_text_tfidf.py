"""TF-IDF: the numbers of scikit-learn, terms by hand, texts without any, and a model that learns from it."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.feature_extraction.text import TfidfVectorizer

import motet
from motet.core.errors import DataError
from motet.core.seed import generator
from motet.inputs import Text
from motet.inputs.text import TermEncoder, TermPreparation, Tfidf

TEXTS = [
    "the cat sat on the mat",
    "a dog and the cat",
    "Dogs, cats; a dog-house: 3 mats?",
    "the the the mat",
    "naïve Übermut 42",
    "",
]


def fit(texts: list[str], lowercase: bool = True, **fields: Any) -> TermPreparation:
    preparation = Text(encoder=Tfidf(**fields), lowercase=lowercase).fit(texts)
    assert isinstance(preparation, TermPreparation)
    return preparation


def dense(preparation: TermPreparation, texts: list[str]) -> np.ndarray:
    """Every text as a row of weights, one for each term."""
    found = np.zeros((len(texts), len(preparation.terms)))
    for row, text in zip(found, texts, strict=True):
        item = preparation.read(text)
        row[item[0]] = preparation.weights_of(item)
    return found


def of_sklearn(texts: list[str], new: list[str], preparation: TermPreparation, **fields: Any) -> np.ndarray:
    vectorizer = TfidfVectorizer(vocabulary=list(preparation.terms), token_pattern=r"(?u)\w+", **fields).fit(texts)
    return np.asarray(vectorizer.transform(new).todense())


@pytest.mark.parametrize("sublinear", [False, True])
@pytest.mark.parametrize("ngrams", [(1, 1), (1, 2), (2, 3)])
def test_the_weights_are_those_of_scikit_learn(ngrams: tuple[int, int], sublinear: bool) -> None:
    preparation = fit(TEXTS, ngrams=ngrams, sublinear=sublinear)
    new = [*TEXTS, "a cat and a mat, a a", "of nothing known"]
    expected = of_sklearn(TEXTS, new, preparation, ngram_range=ngrams, sublinear_tf=sublinear)
    np.testing.assert_allclose(dense(preparation, new), expected, rtol=0, atol=1e-6)
    theirs = TfidfVectorizer(ngram_range=ngrams, token_pattern=r"(?u)\w+").fit(TEXTS)
    assert list(preparation.terms) == sorted(theirs.vocabulary_)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text("ab cd", max_size=30), min_size=1, max_size=6), st.booleans())
def test_the_weights_of_characters_are_those_of_scikit_learn(texts: list[str], sublinear: bool) -> None:
    """Words of at least the longest run, as scikit-learn counts a shorter one as a run of its own."""
    texts = [" ".join(word for word in text.split() if len(word) >= 2) for text in texts] + ["abc"]
    preparation = fit(texts, ngrams=(2, 4), characters=True, sublinear=sublinear)
    fields = {"analyzer": "char_wb", "ngram_range": (2, 4), "sublinear_tf": sublinear}
    theirs = TfidfVectorizer(**fields)
    expected = np.asarray(theirs.fit_transform(texts).todense())
    assert list(preparation.terms) == theirs.get_feature_names_out().tolist()
    np.testing.assert_allclose(dense(preparation, texts), expected, rtol=0, atol=1e-6)


def test_by_hand() -> None:
    preparation = fit(["red red car", "car"], ngrams=(1, 1))
    rare, common = math.log(3 / 2) + 1, 1.0
    norm = math.hypot(2 * rare, common)
    assert preparation.terms == ("car", "red")
    np.testing.assert_allclose(dense(preparation, ["Red red CAR blue"]), [[common / norm, 2 * rare / norm]], rtol=1e-12)


def test_the_most_frequent_terms_are_kept_and_ties_are_alphabetic() -> None:
    assert fit(["b b a c d d", "b"], ngrams=(1, 1), most=3).terms == ("a", "b", "d")


def test_words_are_those_of_any_script_and_case_may_stay() -> None:
    preparation = fit(["हिन्दी भाषा", "ABC abc"], lowercase=False, ngrams=(1, 1))
    assert preparation.terms == ("ABC", "abc", "भाषा", "हिन्दी")


def test_stop_words_go_before_words_meet() -> None:
    preparation = Text(encoder=Tfidf(), stop_words="en").fit(["the cat of the house"])
    assert isinstance(preparation, TermPreparation)
    assert preparation.terms == ("cat", "cat house", "house")


def test_only_so_many_words_are_read() -> None:
    preparation = Text(encoder=Tfidf(ngrams=(1, 1)), max_tokens=2).fit(["one two three"])
    assert isinstance(preparation, TermPreparation)
    assert preparation.terms == ("one", "two")


@pytest.mark.parametrize("cell", ["", "  \n", "unknown", "!?"])
def test_a_text_without_known_terms_is_zero_and_still_there(cell: str) -> None:
    spec = Text(encoder=Tfidf(), width=6)
    preparation = spec.fit(TEXTS)
    tokens = spec.build(preparation).eval()(preparation.batch([preparation.read(cell)]))
    assert torch.equal(tokens.values, torch.zeros(1, 1, 6))
    assert tokens.present.tolist() == [True]
    assert tokens.mask.tolist() == [[True]]


def test_the_token_is_the_weighted_sum_of_the_learned_vectors() -> None:
    preparation = fit(TEXTS)
    encoder = TermEncoder(num_terms=len(preparation.terms), width=5, dropout=0.0)
    found = encoder(preparation.batch([preparation.read(text) for text in TEXTS])).values[:, 0]
    expected = torch.from_numpy(dense(preparation, TEXTS)).float() @ encoder.embedding.weight
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_hidden_terms_do_not_weigh_and_the_rest_has_length_one() -> None:
    preparation = Text(encoder=Tfidf(ngrams=(1, 1)), word_dropout=0.5).fit([" ".join(f"w{n}" for n in range(400))])
    assert isinstance(preparation, TermPreparation)
    item = preparation.read(" ".join(f"w{n}" for n in range(400)))
    weights = preparation.weights_of(preparation.augment(item, generator(0)))
    assert np.mean(weights == 0) == pytest.approx(0.5, abs=0.08)
    assert np.linalg.norm(weights) == pytest.approx(1)
    assert not np.allclose(weights, preparation.weights_of(item))


def test_what_can_not_be_is_refused() -> None:
    with pytest.raises(ValidationError, match="shortest and the longest"):
        Tfidf(ngrams=(2, 1))
    with pytest.raises(ValidationError, match="one token of a whole text"):
        Text(encoder=Tfidf(), words=True)
    with pytest.raises(DataError, match="has a word to count"):
        Text(encoder=Tfidf()).fit(["", "?"])


def test_a_model_of_terms_is_trained_saved_and_served(tmp_path: Path) -> None:
    rows = [
        {"review": f"{word} film number {number}", "good": word in ("fine", "great"), "split": split}
        for number, word in enumerate(["fine", "dull", "great", "poor"] * 12)
        for split in ["valid" if number % 6 == 0 else "train"]
    ]
    experiment = {
        "data": {"train": rows, "split": "split"},
        "inputs": {"review": {"kind": "text", "encoder": {"kind": "tfidf", "ngrams": [1, 1]}, "width": 8}},
        "tasks": {"good": "binary"},
        "training": {"epochs": 12, "batch_size": 8, "learning_rate": 0.03},
    }
    run = motet.fit(experiment, out=tmp_path / "run")
    new = [{"review": "a fine film"}, {"review": "a dull film"}, {"review": ""}, {"review": None}]
    found = [row["good"] for row in motet.load(tmp_path / "run").predict(new)]
    assert found[:2] == [True, False]
    assert [row["good"] for row in run.model.predict(new)] == found
