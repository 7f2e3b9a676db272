"""What was fitted stays, and what is each run's own becomes the user's, whatever the preparation calls it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from motet.inputs import AnyInput
from motet.inputs.base import OF_TRAINING

CHANCE = np.random.default_rng(0)
PICTURES = [CHANCE.integers(0, 256, (8, 9, 3), dtype=np.uint8) for _ in range(4)]
SOUNDS = [(CHANCE.normal(size=4000).astype(np.float32), 8000) for _ in range(3)]
CLIPS = [CHANCE.integers(0, 256, (3, 8, 9, 1), dtype=np.uint8) for _ in range(2)]
VIEWS = {"crop": 0.3, "flip": True, "zoom": 0.2, "jitter": 0.4, "augment": {"kind": "randaugment", "operations": 1}}
HELD = {"crop": 0.3, "flip": True, "zoom": 0.2, "jitter": 0.4}

CASES: Mapping[str, tuple[dict[str, Any], Sequence[object], dict[str, Any], dict[str, Any]]] = {
    "image": ({"kind": "image"}, PICTURES, VIEWS, HELD | {"randaugment.operations": 1}),
    "bag": (
        {"kind": "image"},
        [tuple(PICTURES[:3]), PICTURES[3]],
        VIEWS,
        {f"part.{name}": value for name, value in (HELD | {"randaugment.operations": 1}).items()},
    ),
    "audio": ({"kind": "audio", "mask": 0.1}, SOUNDS, {"mask": 0.3, "shift": 0.2}, {"mask": 0.3, "shift": 0.2}),
    "mfcc": (
        {"kind": "audio", "encoder": "mfcc", "mask": 0.0},
        SOUNDS,
        {"mask": 0.3, "shift": 0.2},
        {"frames.mask": 0.3, "frames.shift": 0.2},
    ),
    "text": ({"kind": "text", "vocabulary": 270}, ["one two", "two"], {"word_dropout": 0.4}, {"word_dropout": 0.4}),
    "terms": (
        {"kind": "text", "encoder": "tfidf"},
        ["one two", "two one"],
        {"word_dropout": 0.4},
        {"word_dropout": 0.4},
    ),
    "series": (
        {"kind": "series"},
        ["1|2", [3, 4]],
        {"separator": ";", "jitter": 0.3},
        {"form.separator": ";", "jitter": 0.3},
    ),
    "video": ({"kind": "video"}, CLIPS, {"crop": 0.3, "flip": True}, {"crop": 0.3, "flip": True}),
    "set": ({"kind": "set"}, ["a|b", "b|a"], {"separator": ";"}, {"separator": ";"}),
    "vector": ({"kind": "vector"}, ["1|2", [3, 4]], {"separator": ";"}, {"separator": ";"}),
}


def spec_of(fields: Mapping[str, Any]) -> Any:
    return TypeAdapter(AnyInput).validate_python(dict(fields))


def with_changes(state: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a preparation, some values of it, by their path, put in by hand."""
    for path, value in changes.items():
        *outer, last = path.split(".")
        inner = state
        for name in outer:
            inner = inner[name]
        inner[last] = value
    return state


@pytest.mark.parametrize("case", CASES)
def test_the_users_values_reach_the_preparation_and_what_was_fitted_stays(case: str) -> None:
    fields, cells, changes, held = CASES[case]
    plain, own = spec_of(fields), spec_of({**fields, **changes})
    if "augment" in changes:  # so that there is a place for its fields
        plain = spec_of({**fields, "augment": {"kind": "randaugment", "operations": 3}})
    fitted = plain.fit(cells)
    found = own.trained_as(fitted)
    assert found.model_dump(mode="json") == with_changes(fitted.model_dump(mode="json"), held)
    assert found != fitted
    assert found == own.restore(found.model_dump(mode="json"))
    assert plain.trained_as(found) == fitted, "and back again"


def test_every_kind_whose_preparation_may_have_such_a_field_is_among_the_cases() -> None:
    encoders = {"dropout", "unseen", "model", "tune", "layer_decay"}
    from motet.inputs import Audio, Category, Datetime, Image, Number, Series, Set, Text, Vector, Video

    for kind in (Audio, Category, Datetime, Image, Number, Series, Set, Text, Vector, Video):
        name = kind.model_fields["kind"].default
        fields = (OF_TRAINING - encoders) & set(kind.model_fields)
        told = {field for given, _, changes, _ in CASES.values() if given["kind"] == name for field in changes}
        assert fields - told <= ({"separator"} if kind in (Image, Video) else set()), name


def test_an_augmentation_is_switched_off_and_a_mask_that_is_left_out_is_the_one_that_was_fitted() -> None:
    photo = spec_of({"kind": "image", "augment": "randaugment", "crop": 0.0})
    assert spec_of({"kind": "image", "crop": 0.0}).trained_as(photo.fit(PICTURES)).varies is False
    for fields in ({}, {"encoder": "mfcc"}):
        sound = spec_of({"kind": "audio", "mask": 0.25, **fields}).fit(SOUNDS)
        assert spec_of({"kind": "audio", **fields}).trained_as(sound) == sound


def test_cells_are_read_by_the_separator_that_is_asked_for() -> None:
    fitted = spec_of({"kind": "series"}).fit(["1|2", "3|4"])
    here = spec_of({"kind": "series", "separator": ";"}).trained_as(fitted)
    assert here.read("5;6").tolist() == fitted.read("5|6").tolist() == [[5.0], [6.0]]
