"""Stop words, and texts of many languages under one tokenizer: what is left out, and that nothing else is lost."""

import unicodedata
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import motet
from motet.core.errors import SpecError
from motet.inputs import Text, TextPreparation
from motet.inputs.text import Tfidf
from motet.inputs.text.runs import runs, without
from motet.inputs.text.stopwords import WORDS, Language, stop_words_of

NEGATIONS = {
    "de": {"nicht", "kein", "keine", "nie", "niemals"},
    "en": {"no", "not", "never", "none", "don", "t"},
    "es": {"no", "nunca", "jamás", "nada"},
    "fr": {"ne", "n", "pas", "jamais", "rien", "non"},
    "it": {"no", "non", "mai", "niente"},
    "nl": {"niet", "geen", "nooit", "nee"},
    "pt": {"não", "nunca", "jamais", "nada"},
}
ENGLISH = Text(vocabulary=300, lowercase=False).fit(["only English was ever seen here"] * 3)


def read(text: str, **fields: Any) -> str:
    """What the tokens of a text say."""
    preparation = Text(**fields).fit(["the cat and the dog", "der Hund und die Katze"])
    assert isinstance(preparation, TextPreparation)
    return preparation.tokenizer.decode(preparation.read(text)[1:])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("none", "the cat, and der hund!"),
        ("en", "cat, der hund!"),
        (("de", "en"), "cat, hund!"),
        (("Cat", "HUND"), "the , and der !"),
    ],
)
def test_words_are_left_out_before_they_are_tokens(words: Any, expected: str) -> None:
    assert read("The cat, and der Hund!", stop_words=words) == expected


def test_what_is_left_out_is_no_part_of_the_vocabulary_and_empties_a_text() -> None:
    preparation = Text(stop_words="en", vocabulary=400).fit(["the the the"] * 9)
    assert isinstance(preparation, TextPreparation)
    assert preparation.tokenizer.size == 257
    assert preparation.read("the the").tolist() == [257]


def test_the_bundle_holds_the_words_themselves() -> None:
    spec = Text(stop_words=("de", "Motet"))
    preparation = spec.fit(["ein Text", "de motet"])
    assert preparation.model_dump(mode="json")["stop_words"] == ["de", "motet"]
    assert spec.resolved(preparation).stop_words == ("de", "Motet")


@pytest.mark.parametrize("language", get_args(Language))
def test_each_list_is_one_of_single_lower_case_words_without_negations(language: str) -> None:
    words = WORDS[language].split()
    assert len(set(words)) == len(words) > 90
    assert all(runs(word) == [word] and word == word.lower() for word in words)
    assert not NEGATIONS[language] & set(words)
    assert stop_words_of(language) == set(words)  # type: ignore[arg-type]


def test_words_that_are_told_apart_keep_their_places() -> None:
    with pytest.raises(ValidationError, match="keep their places"):
        Text(stop_words="en", words=True)
    with pytest.raises(ValidationError, match="keep their places"):
        Text(stop_words="en", spelling=True)
    assert Text(stop_words="en").fit([["the", "cat"]]).model_dump()["words"] is False
    with pytest.raises(ValidationError, match="reads whole sentences"):
        Text.model_validate({"encoder": {"kind": "pretrained", "model": "m"}, "stop_words": "en"})


@pytest.mark.parametrize("fields", [{"stop_words": "en"}, {"encoder": "tfidf"}])
def test_a_task_about_words_says_what_stands_in_its_way(tmp_path: Path, fields: dict[str, Any]) -> None:
    rows = [{"note": ["a", "cat", "sat"], "tag": ["O", "B-x", "O"]}] * 12
    experiment = {"data": {"train": rows}, "inputs": {"note": {"kind": "text"} | fields}, "tasks": {"tag": "tagging"}}
    with pytest.raises(SpecError, match="single words of this text"):
        motet.fit(experiment, out=tmp_path / "run")


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="ab é-.'日", max_size=30), st.sets(st.sampled_from(["a", "b", "ab", "é"])))
def test_nothing_but_the_words_is_taken_away(text: str, words: set[str]) -> None:
    kept = without(text, words)
    assert runs(kept) == [word for word in runs(text) if word not in words]
    signs = [sign for sign in text if not sign.isalnum()]
    assert [sign for sign in kept if not sign.isalnum()] == signs


@pytest.mark.parametrize(
    "text",
    ["机器学习很有趣", "مَرْحَبًا بالعالم", "हिन्दी भाषा", "👩‍👩‍👧 🇩🇪 ok", "Größe, naïveté, Łódź", "ไทย ελληνικά 한국어"],
)
def test_no_byte_of_any_script_is_lost_by_a_tokenizer_that_saw_english_alone(text: str) -> None:
    text = unicodedata.normalize("NFKC", text)
    ids = ENGLISH.read(text)[1:]
    assert isinstance(ENGLISH, TextPreparation)
    assert ENGLISH.tokenizer.decode(ids) == text
    assert ids.max() < ENGLISH.tokenizer.size


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Cn"]), min_size=1, max_size=20))
def test_no_character_at_all_is_lost(text: str) -> None:
    text = unicodedata.normalize("NFKC", text)
    assert isinstance(ENGLISH, TextPreparation)
    ids = ENGLISH.tokenizer.encode(text)
    assert ENGLISH.tokenizer.decode(ids) == " ".join(text.split())


@pytest.mark.parametrize("encoder", ["gru", Tfidf(ngrams=(2, 4), characters=True).model_dump()])
def test_two_languages_share_one_encoder(tmp_path: Path, encoder: Any) -> None:
    """Good or bad is learned from either language, and from one alone where the other is absent."""
    pairs = [("fine weather", "schönes Wetter", True), ("awful weather", "übles Wetter", False)] * 24
    rows = [
        {"english": english if n % 3 else None, "german": german if n % 4 else None, "good": good}
        for n, (english, german, good) in enumerate(pairs)
        if n % 12
    ]
    experiment = {
        "data": {"train": rows, "valid": 0.2, "test": 0.2},
        "inputs": {
            "english": {"kind": "text", "vocabulary": 300, "width": 8, "encoder": encoder, "dropout": 0.0},
            "german": {"kind": "text", "share": "english"},
        },
        "tasks": {"good": "binary"},
        "fusion": {"kind": "concat", "width": 8},
        "training": {"epochs": 12, "batch_size": 8, "learning_rate": 0.02},
    }
    run = motet.fit(experiment, out=tmp_path / "run")
    new = [{"english": "fine weather", "german": None}, {"english": None, "german": "übles Wetter"}]
    assert [row["good"] for row in motet.load(run.folder).predict(new)] == [True, False]
    names = [name for name in run.model.network.state_dict() if "embedding" in name]
    assert len(names) == 1
