"""Where gradients are taken: `forward` in two halves, cells that say nothing, and where in a text a token stands."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from motet.inputs import Audio, Category, Image, InputSpec, Number, Text
from motet.inputs.text import TermPreparation, TextPreparation

CHANCE = np.random.default_rng(0)
PICTURES = [CHANCE.integers(0, 256, size=(12, 10, 3), dtype=np.uint8) for _ in range(4)]
SOUNDS = [(CHANCE.normal(size=size).astype(np.float32), 8000) for size in (1600, 3000, 2500)]
TEXTS = ["The Café was good.  Really GOOD", "the bad one", "so good it was bad"]
FELT: dict[str, tuple[InputSpec, Sequence[object]]] = {
    "image": (Image(first=8, width=16), PICTURES),
    "vit": (Image.model_validate({"width": 16, "encoder": {"kind": "vit", "layers": 1}}), PICTURES),
    "audio": (Audio(channels=8, blocks=2, width=16), SOUNDS),
    "text": (Text(vocabulary=300, width=16), TEXTS),
    "transformer": (Text.model_validate({"vocabulary": 280, "width": 16, "encoder": "transformer"}), TEXTS),
    "words": (Text(vocabulary=300, width=16, words=True), TEXTS),
    "terms": (Text.model_validate({"width": 16, "encoder": "tfidf"}), TEXTS),
}
DECLINED: dict[str, tuple[InputSpec, Sequence[object]]] = {
    "number": (Number(), [1.0, 2.0]),
    "category": (Category(), ["a", "b"]),
    "hog": (Image.model_validate({"width": 8, "encoder": {"kind": "hog", "cell": 5}}), PICTURES),
    "mfcc": (Audio.model_validate({"width": 8, "encoder": "mfcc"}), SOUNDS),
}


@pytest.mark.parametrize("case", FELT)
def test_the_halves_are_the_whole(case: str) -> None:
    spec, cells = FELT[case]
    preparation = spec.fit(cells)
    encoder = spec.build(preparation).eval()
    values = preparation.batch([preparation.read(cell) for cell in cells])
    halves = encoder.felt(values)
    assert halves is not None
    felt, tokens_of = halves
    whole, found = encoder(values), tokens_of(felt)
    assert len(felt) == len(cells)
    torch.testing.assert_close(found.values, whole.values, atol=1e-6, rtol=1e-5)
    assert torch.equal(found.mask, whole.mask)
    blank = preparation.blank(values)
    assert blank is not None
    assert {name: one.shape for name, one in blank.items()} == {name: one.shape for name, one in values.items()}
    nothing = encoder.felt(blank)
    assert nothing is not None
    assert nothing[0].shape == felt.shape
    assert torch.equal(encoder(blank).mask, whole.mask), "what says nothing is as long"
    assert not torch.allclose(nothing[0], felt)


@pytest.mark.parametrize("case", FELT)
def test_what_says_nothing_does_not_depend_on_what_was_said(case: str) -> None:
    spec, cells = FELT[case]
    preparation = spec.fit(cells)
    encoder = spec.build(preparation).eval()
    values = preparation.batch([preparation.read(cells[0])] * 2)
    varied = {name: value.clone() for name, value in values.items()}
    first = next(name for name in ("pixels", "frames", "weights", "ids") if name in varied)
    varied[first][1, 1:] = varied[first][1, 1:].flip(0)
    if first in ("pixels", "frames"):
        varied[first][1] += 1.0
    blank = preparation.blank(varied)
    assert blank is not None
    tokens = encoder(blank).values
    torch.testing.assert_close(tokens[0], tokens[1])


@pytest.mark.parametrize("case", DECLINED)
def test_others_decline(case: str) -> None:
    spec, cells = DECLINED[case]
    preparation = spec.fit(cells)
    values = preparation.batch([preparation.read(cell) for cell in cells])
    assert preparation.blank(values) is None or spec.build(preparation).felt(values) is None


def test_silence_is_what_a_silent_sound_gives() -> None:
    spec = Audio(channels=8, blocks=2, width=16)
    preparation = spec.fit(SOUNDS)
    silent = preparation.batch([preparation.read((np.zeros(len(one), dtype=np.float32), 8000)) for one, _ in SOUNDS])
    blank = preparation.blank(preparation.batch([preparation.read(one) for one in SOUNDS]))
    assert blank is not None
    torch.testing.assert_close(blank["frames"], silent["frames"])


def places(spec: Text, text: object) -> list[list[str]]:
    """What stands where the tokens are said to stand."""
    preparation = spec.fit([*TEXTS, "new york is not so new"])
    assert isinstance(preparation, TextPreparation | TermPreparation)
    found = preparation.places(text)
    whole = " ".join(text) if isinstance(text, list) else str(text)
    assert len(found) == np.asarray(preparation.read(text)).shape[-1]
    return [[whole[start:end] for start, end in one] for one in found]


def test_tokens_stand_in_the_text_of_the_user() -> None:
    found = places(Text(vocabulary=300), "the GOOD  Café")
    assert found[0] == [], "the start is nowhere"
    assert "".join(one[0] for one in found[1:] if one) in ("theGOODCafé", "theGOODCaféé")  # two bytes of é
    assert ["the"] in found


def test_left_out_words_shift_nothing() -> None:
    spec = Text(vocabulary=400, stop_words=["the", "was"])
    preparation, text = spec.fit(TEXTS), "THE one was  good"
    assert isinstance(preparation, TextPreparation)
    spans = sorted({span for one in preparation.places(text) for span in one})
    assert "".join(text[start:end] for start, end in spans).replace("oone", "one") == "onegood"
    cut = places(Text(vocabulary=400, max_tokens=1), "good good good")
    assert len(cut) == 2


def test_tokens_of_words_stand_for_the_word() -> None:
    found = places(Text(vocabulary=300, words=True), "good, Café good")
    assert [word for one in found[1:] for word in one] == sorted(
        (word for one in found[1:] for word in one), key=["good,", "Café", "good"].index
    )
    assert found[1] == ["good,"]
    listed = places(Text(vocabulary=300, words=True), ["New York", "good"])
    assert listed[1] == ["New York"]
    assert listed[-1] == ["good"]


def test_terms_stand_wherever_they_are() -> None:
    spec = Text.model_validate({"encoder": {"kind": "tfidf", "ngrams": [1, 2]}, "stop_words": ["was"]})
    preparation = spec.fit(TEXTS)
    assert isinstance(preparation, TermPreparation)
    found = dict(zip(
        (preparation.terms[number] for number in preparation.read("Good was the GOOD")[0].tolist()),
        places_of(preparation, "Good was the GOOD"),
        strict=True,
    ))  # fmt: skip
    assert found["good"] == ["Good", "GOOD"]
    assert found["the"] == ["the"]
    letters = Text.model_validate({"encoder": {"kind": "tfidf", "characters": True, "ngrams": [2, 2]}}).fit(TEXTS)
    assert isinstance(letters, TermPreparation)
    assert {one for spans in places_of(letters, "BAD!") for one in spans} == {"BAD"}


def places_of(preparation: TermPreparation, text: str) -> list[list[str]]:
    return [[text[start:end] for start, end in one] for one in preparation.places(text)]
