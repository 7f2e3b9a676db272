"""What every input keeps: one table runs them all."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from motet.core.errors import CellError, DataError
from motet.core.flow import Tokens
from motet.core.seed import generator
from motet.inputs import (
    AnyInput,
    Audio,
    Category,
    Datetime,
    Encoder,
    Image,
    InputSpec,
    Number,
    Preparation,
    Series,
    Set,
    Text,
    Vector,
    Video,
)
from motet.inputs.base import readable
from motet.nn import keys_of, row_keys, salt_dropouts

CHANCE = np.random.default_rng(0)
SOUNDS = [(CHANCE.normal(size=size).astype(np.float32), 8000) for size in (1600, 90, 3000, 2500, 810)]
LATER = ("datetime", "set", "series")
PICTURES = [CHANCE.integers(0, 256, size=(20, 14, 3), dtype=np.uint8) for _ in range(5)]
CLIPS = [CHANCE.integers(0, 256, size=(size, 9, 7, 3), dtype=np.uint8) for size in (4, 1, 3, 9, 2)]
TEXTS = ["one two three", "", "three", "two two one one three one two", "naïve 😀"]
CASES: dict[str, tuple[InputSpec, Sequence[object]]] = {
    "image": (Image(first=8, width=16, dropout=0.2), PICTURES),
    "vit": (
        Image.model_validate({"size": (9, 12), "width": 16, "dropout": 0.2, "encoder": {"kind": "vit", "layers": 2}}),
        PICTURES,
    ),
    "augmented": (Image.model_validate({"width": 8, "first": 4, "crop": 0.0, "augment": "randaugment"}), PICTURES),
    "hog": (Image.model_validate({"width": 16, "dropout": 0.2, "encoder": {"kind": "hog", "cell": 5}}), PICTURES),
    "large image": (Image(size=(40, 9), channels=1, flip=True, first=8, width=16), PICTURES),
    "bags of images": (
        Image(size=(9, 12), flip=True, first=8, width=16, dropout=0.2),
        [tuple(PICTURES[:3]), tuple(PICTURES[3:]), PICTURES[0], (PICTURES[4],)],
    ),
    "audio": (Audio(channels=8, blocks=2, width=16), SOUNDS),
    "moved audio": (Audio(channels=8, blocks=2, width=16, shift=0.3), SOUNDS),
    "mfcc": (Audio.model_validate({"width": 16, "encoder": {"kind": "mfcc", "coefficients": 5}}), SOUNDS),
    "text": (Text(vocabulary=300, width=16), TEXTS),
    "deep text": (Text.model_validate({"width": 16, "encoder": {"kind": "gru", "layers": 2}}), TEXTS),
    "transformer": (Text.model_validate({"vocabulary": 280, "width": 16, "encoder": "transformer"}), TEXTS),
    "terms": (Text.model_validate({"width": 16, "encoder": {"kind": "tfidf"}}), TEXTS),
    "words": (Text(vocabulary=300, width=16), [["one", "two", "three"], [], ["Two"], "two two one", ["New York", ""]]),
    "number": (Number(bins=4, width=8), ["1", 2, 3.5, "-4e3", True]),
    "quantile": (Number(scaling="quantile", encoding="linear", width=8), [1, 1, 1, 2, 50]),
    "category": (Category(width=8), ["a", "b", "a", "b", 5]),
    "video": (Video(frames=4, first=4, width=8), CLIPS),
    "video over space and time": (
        Video.model_validate({"encoder": "cnn3d", "first": 4, "width": 8, "flip": True}),
        CLIPS,
    ),
    "vector": (Vector(width=8), ["1|2|3", [1, 2, 4], np.array([0.5, 2, -1]), "7|2|3", "-1|2|0"]),
    "datetime": (Datetime(width=8), [f"2024-0{month}-1{month} 0{month}:30" for month in range(1, 8)]),
    "set": (Set(width=8), ["a|b", "b|c", [], ["c", "a", "rare"], "a"]),
    "members": (Set(width=8, tokens=True), ["a|b", "b|c", [], ["c", "a", "rare"], "a"]),
    "series": (
        Series.model_validate({"encoder": {"kind": "cnn", "channels": 8, "blocks": 1}, "width": 16}),
        [CHANCE.normal(size=(size, 2)) for size in (40, 3, 33, 1)] + [[[1, None], [2, 3]], []],
    ),
    "irregular series": (
        Series.model_validate({"times": True, "encoder": "transformer", "width": 16}),
        [np.cumsum(CHANCE.uniform(size=(size, 3)), axis=0) for size in (9, 3, 4, 1)],
    ),
    "history": (
        Series.model_validate({"values": "categories", "encoder": {"kind": "transformer", "layers": 1}, "width": 16}),
        ["a|b|a", "b|c", ["c", "a", "rare"], "b", []],
    ),
    "codes": (Series(jitter=0.1, width=16), ["1|2|1", [2, 3], "2|3", [1, 2]]),
    "plain codes": (Series(width=16), ["1|2|1", [2, 3], "2|3", [1, 2]]),
    "points": (Series(order=False, width=16), [CHANCE.normal(size=(size, 3)) for size in (7, 2, 9)]),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[InputSpec, Sequence[object], Preparation, Encoder]:
    spec, cells = CASES[request.param]
    preparation = spec.fit(iter(cells))
    torch.manual_seed(0)
    encoder = spec.build(preparation)
    salt_dropouts(encoder, 0)
    return spec, cells, preparation, encoder.double()


def batched(preparation: Preparation, cells: Sequence[object]) -> dict[str, Tensor]:
    values = preparation.batch(readable(cells, preparation.read))
    return {name: value.double() if value.is_floating_point() else value for name, value in values.items()}


def assert_same_row(whole: Tokens, row: int, alone: Tokens) -> None:
    length = alone.mask.shape[1]
    assert torch.equal(whole.mask[row, :length], alone.mask[0])
    assert not whole.mask[row, length:].any()
    torch.testing.assert_close(whole.values[row][whole.mask[row]], alone.values[0][alone.mask[0]], rtol=0, atol=1e-10)


def test_tokens_have_the_promised_shape(case: Any) -> None:
    _, cells, preparation, encoder = case
    tokens = encoder(batched(preparation, cells))
    assert tokens.values.shape == (*tokens.mask.shape, encoder.output_width)
    assert tokens.values.isfinite().all()
    assert tokens.present.tolist() == [True] * len(cells)
    assert tokens.mask.any(dim=1).all()


def test_a_row_is_alone(case: Any) -> None:
    _, cells, preparation, encoder = case
    whole = encoder.eval()(batched(preparation, cells))
    for row, cell in enumerate(cells):
        assert_same_row(whole, row, encoder(batched(preparation, [cell])))


def test_a_row_is_alone_in_training_too(case: Any) -> None:
    _, cells, preparation, encoder = case
    keys = keys_of(torch.arange(len(cells)), 0)
    with row_keys(keys):
        whole = encoder.train()(batched(preparation, cells))
    for row, cell in enumerate(cells):
        with row_keys(keys[row : row + 1]):
            assert_same_row(whole, row, encoder(batched(preparation, [cell])))


@pytest.mark.parametrize("case", ["audio", "text", "deep text", "transformer"], indirect=True)
def test_what_stands_in_padding_changes_nothing(case: Any) -> None:
    _, cells, preparation, encoder = case
    values = batched(preparation, cells)
    (name,) = set(values) - {"mask"}
    padding = ~values["mask"] if values[name].dim() == 2 else ~values["mask"][:, :, None]
    assert padding.any()
    filler = float("nan") if values[name].is_floating_point() else 7
    poisoned = encoder.eval()({**values, name: values[name].masked_fill(padding, filler)})
    clean = encoder(values)
    assert torch.equal(poisoned.values[clean.mask], clean.values[clean.mask])


def test_every_parameter_learns(case: Any) -> None:
    _, cells, preparation, encoder = case
    tokens = encoder.eval()(batched(preparation, cells))
    weights = torch.randn(tokens.values.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (tokens.values * weights)[tokens.mask].sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_bundle_restores_the_same_preparation(case: Any) -> None:
    spec, cells, preparation, _ = case
    restored = spec.restore(json.loads(json.dumps(preparation.model_dump(mode="json"))))
    for cell in cells:
        assert np.array_equal(restored.read(cell), preparation.read(cell))
    ours, theirs = batched(preparation, cells), batched(restored, cells)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert restored.varies == preparation.varies


def test_resolved_leaves_no_auto_and_fits_the_same(case: Any) -> None:
    spec, cells, preparation, _ = case
    resolved = spec.resolved(preparation)
    assert "auto" not in resolved.model_dump(exclude={"drop"}).values()
    assert resolved.fit(cells).model_dump() == preparation.model_dump()
    assert TypeAdapter(AnyInput).validate_python(resolved.model_dump(mode="json")) == resolved


def test_augmentation_is_a_function_of_its_generator_and_keeps_the_item(case: Any) -> None:
    _, cells, preparation, _ = case
    for place, item in enumerate(map(preparation.read, cells)):
        before = item.copy()
        varied = [preparation.augment(item, generator(place, draw)) for draw in (0, 0, *range(1, 60))]
        assert np.array_equal(varied[0], varied[1])
        assert np.array_equal(item, before)
        assert all(other.shape == item.shape and other.dtype == item.dtype for other in varied)
        if not preparation.varies:
            assert all(np.array_equal(other, item) for other in varied)


def test_an_input_that_varies_does(case: Any) -> None:
    _, cells, preparation, _ = case
    items = [preparation.read(cell) for cell in cells]
    changed = [
        not np.array_equal(preparation.augment(item, generator(draw)), item) for item in items for draw in range(200)
    ]
    assert any(changed) == preparation.varies


def test_cells_that_can_not_be_read_are_passed_over_in_fitting(case: Any) -> None:
    spec, cells, preparation, _ = case
    nonsense: list[object] = [{"not": "a cell"}]
    assert spec.fit([*cells, *nonsense]).model_dump() == preparation.model_dump()
    with pytest.raises(CellError):
        preparation.read(nonsense[0])
    with pytest.raises(DataError, match="no cell of the training rows can be read"):
        spec.fit(nonsense)


@pytest.mark.parametrize("kind", ["image", "audio", "text", "number", "category", "vector", "video", *LATER])
def test_the_union_knows_every_kind_and_refuses_typos(kind: str) -> None:
    spec = TypeAdapter(AnyInput).validate_python({"kind": kind})
    assert (spec.word(), bool(spec.summary())) == (kind, True)
    with pytest.raises(ValidationError, match="widht"):
        TypeAdapter(AnyInput).validate_python({"kind": kind, "widht": 3})


CHANGES: dict[str, dict[str, object]] = {
    "image": {
        "size": (9, 9),
        "channels": 1,
        "crop": 0.3,
        "flip": True,
        "zoom": 0.3,
        "jitter": 0.3,
        "augment": {"operations": 1, "magnitude": 0.5},
        "encoder": {"kind": "hog"},
        "first": 12,
        "width": 12,
        "dropout": 0.5,
    },
    "vit": {"encoder": {"kind": "vit", "layers": 2, "heads": 2}, "dropout": 0.5},
    "hog": {"encoder": {"kind": "hog", "cell": 4}, "dropout": 0.5},
    "audio": {
        "rate": 4000,
        "seconds": 0.02,
        "mels": 8,
        "window": 10.0,
        "hop": 5.0,
        "mask": 0.5,
        "shift": 0.5,
        "encoder": "mfcc",
        "channels": 12,
        "blocks": 1,
        "width": 12,
        "dropout": 0.5,
    },
    "mfcc": {"encoder": {"kind": "mfcc", "coefficients": 4}},
    "text": {
        "vocabulary": 260,
        "lowercase": False,
        "stop_words": ("two",),
        "max_tokens": 1,
        "words": True,
        "spelling": True,
        "encoder": "transformer",
        "width": 12,
        "dropout": 0.7,
        "word_dropout": 0.5,
    },
    "deep text": {"encoder": {"kind": "gru", "layers": 1}},
    "transformer": {"encoder": {"kind": "transformer", "heads": 2}},
    "terms": {
        "encoder": {"kind": "tfidf", "sublinear": True},
        "lowercase": False,
        "stop_words": ("two",),
        "max_tokens": 1,
        "dropout": 0.7,
        "word_dropout": 0.5,
    },
    "number": {"scaling": "quantile", "encoding": "linear", "bins": 3, "width": 12},
    "category": {"min_count": 1, "unseen": 0.5, "width": 12},
    "vector": {"separator": ";", "width": 12, "layers": 2, "dropout": 0.5},
    "datetime": {"format": "%Y-%m-%d %H:%M", "cycles": ["day"], "width": 12},
    "set": {
        "separator": ";",
        "most": 1,
        "tokens": True,
        "pool": "mean",
        "unseen": 0.5,
        "width": 12,
        "dropout": 0.5,
    },
    "series": {"max_steps": 2, "jitter": 0.5, "encoder": "transformer", "width": 12, "dropout": 0.5},
    "irregular series": {"times": False},
    "history": {"most": 1},
    "points": {"order": True},
    "codes": {"separator": ";"},
    "plain codes": {"values": "categories"},
    "video": {
        "frames": 2,
        "rate": 1.0,
        "size": (5, 5),
        "channels": 1,
        "crop": 0.3,
        "flip": True,
        "encoder": "cnn3d",
        "first": 6,
        "width": 12,
        "dropout": 0.5,
    },
}


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in CHANGES.items() for field in fields])
def test_every_field_changes_something(name: str, field: str) -> None:
    spec, cells = CASES[name]
    cells = ["Capital", *cells] if name in ("text", "terms") else cells
    changed = type(spec).model_validate({**spec.model_dump(), field: CHANGES[name][field]})
    assert observed(spec, cells) != observed(changed, cells)


def test_no_field_is_left_out() -> None:
    for name in ("image", "audio", "text", "number", "category", "vector", "video", *LATER):
        own = set(type(CASES[name][0]).model_fields) - set(InputSpec.model_fields)
        of_paths = {"files"} | ({"separator"} if CASES[name][0].media else set())  # what reads the table asks for them
        changed = {field for case, fields in CHANGES.items() if CASES[case][0].kind == name for field in fields}
        assert own - of_paths == changed


def observed(spec: InputSpec, cells: Sequence[object]) -> object:
    """What is fitted, what is learned, and what a training step sees."""
    preparation = spec.fit(cells)
    torch.manual_seed(0)
    encoder = spec.build(preparation).double()
    salt_dropouts(encoder, 0)
    values = batched(preparation, cells)
    with row_keys(keys_of(torch.arange(len(next(iter(values.values())))), 0)):
        tokens = encoder(values)
    return preparation.model_dump_json(), tokens.values.tolist()
