"""What is asked for is what the input holds: cells are read alike, pictures seen alike, and the mean scores 1."""

import io
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from motet import inputs
from motet.core.errors import CellError
from motet.core.flow import Column
from motet.data import Dataset, read_cells, read_table
from motet.inputs.base import Preparation
from motet.model.columns import labels_of
from motet.tasks import Reconstruction
from motet.testing.examples import input_cells

CHANCE = np.random.default_rng(0)
PICTURES: list[object] = [CHANCE.integers(0, 256, (8, 12, 3), dtype=np.uint8) for _ in range(6)]
MOVED: dict[str, Any] = {"crop": 0.25, "flip": True, "zoom": 0.3}


def codec_of(reader: Preparation, cells: list[object], **fields: Any) -> Any:
    return Reconstruction(of="x", **fields).fit(cells, {"x": reader})


def target_of(codec: Any, cells: list[object]) -> np.ndarray:
    found: np.ndarray = codec.batch([codec.read(cell) for cell in cells])["target"].numpy()
    return found


# --- views


@pytest.mark.parametrize("moved", [MOVED, {"crop": 0.25}, {"crop": 0.0, "flip": True}, {"crop": 0.0, "zoom": 0.3}])
def test_a_picture_is_asked_for_in_the_view_that_is_shown(moved: dict[str, Any]) -> None:
    reader = inputs.Image(**moved).fit(PICTURES)
    codec = codec_of(reader, PICTURES)
    assert codec.varies
    for seed, cell in enumerate(PICTURES):
        shown = reader.augment(reader.read(cell), np.random.default_rng(seed))
        asked = codec.batch([codec.augment(codec.read(cell), np.random.default_rng(seed))])["target"].numpy()
        np.testing.assert_allclose(codec.form.unscaled(asked)[0], shown, atol=1e-2)


def test_a_picture_is_asked_for_in_its_own_light() -> None:
    lit, plain = inputs.Image(**MOVED, jitter=0.5).fit(PICTURES), inputs.Image(**MOVED).fit(PICTURES)
    codec, cell = codec_of(lit, PICTURES), PICTURES[0]
    asked = codec.augment(codec.read(cell), np.random.default_rng(3))
    assert np.array_equal(asked, plain.augment(plain.read(cell), np.random.default_rng(3)))
    assert not np.array_equal(asked, lit.augment(lit.read(cell), np.random.default_rng(3)))
    still = inputs.Image(crop=0.0, jitter=0.5).fit(PICTURES)
    assert still.varies
    assert not codec_of(still, PICTURES).varies


def test_the_view_is_reduced_not_the_reduced_picture_moved() -> None:
    reader = inputs.Image(crop=0.25).fit(PICTURES)
    codec, cell = codec_of(reader, PICTURES, size=3), PICTURES[1]
    shown = reader.augment(reader.read(cell), np.random.default_rng(1))
    asked = codec.batch([codec.augment(codec.read(cell), np.random.default_rng(1))])["target"].numpy()
    pillow = np.array(Image.fromarray(shown).resize((3, 2), Image.Resampling.BILINEAR))
    assert asked.shape == (1, 2, 3, 3)
    np.testing.assert_allclose(codec.form.unscaled(asked)[0], pillow, atol=1.01)


def test_rows_are_asked_for_as_they_are_shown_by_the_data_room() -> None:
    png = []
    for pixels in PICTURES:
        out = io.BytesIO()
        Image.fromarray(np.asarray(pixels)).save(out, format="PNG")
        png.append(out.getvalue())
    spec, task = inputs.Image(**MOVED, column="photo"), Reconstruction(of="x")
    reader = spec.fit(PICTURES)
    codec = codec_of(reader, PICTURES)
    columns = {
        "x": Column(("photo",), reader, media=True),
        "again": labels_of("again", task, {"x": spec}).read_by(codec),
    }
    store = read_cells(read_table([{"photo": one} for one in png]), None, columns, remember=False)
    dataset = Dataset(store, inputs=("x",), targets=("again",), seed=5)
    for epoch in (0, 1):
        batch = dataset.batch(store.rows, epoch=epoch)
        shown = batch.inputs["x"].values["pixels"].permute(0, 2, 3, 1).numpy()
        asked = codec.form.unscaled(batch.targets["again"].values["target"].numpy())
        np.testing.assert_allclose(asked, shown * np.array(reader.deviation) + reader.mean, atol=1e-2)
        assert not np.allclose(asked, np.stack(PICTURES), atol=1)


# --- cells


ODD: list[object] = [True, False, np.bool_(True), Decimal("2.5"), Decimal("sNaN"), Decimal("1e999"), Decimal("1e-999")]
ODD += [np.float32(1.5), np.int8(3), 10**400, 1e200, "1e200", "1e-400", "0e-400", "1_0", "\u0663", "1,5", " 2 ", "+.5"]
ODD += ["", "nan", "inf", "old", None, [1], {"no": 1}, b"1", float("nan"), "-1.5E+2", "7.", 1e6, -1e6, 0]


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
@pytest.mark.parametrize("values", [list(range(40)), [0] * 30 + [1, 2, 2, 5, 90], [3, 3, 3]])
def test_numbers_are_those_of_the_input(scaling: Any, values: list[object]) -> None:
    reader = inputs.Number(scaling=scaling).fit(values)
    codec = codec_of(reader, values)
    for cell in [*ODD, *values, 2.25]:
        try:
            theirs = reader.batch([reader.read(cell)])["features"][0, 0].item()
        except CellError:
            with pytest.raises(CellError):
                codec.read(cell)
        else:
            assert target_of(codec, [cell])[0, 0] == pytest.approx(theirs, rel=1e-6, abs=1e-6), cell


NUMBERS = inputs.Number().fit([1, 2, 3, 4.5])
WRITTEN = st.text(alphabet="0123456789.+-eE_, \u0663\u00a0naif", max_size=7)


@given(st.one_of(WRITTEN, st.floats(), st.integers(), st.booleans(), st.decimals(), st.decimals(0, 1).map(str)))
@example("1e-323")
@example(Decimal("1e-330"))
def test_a_cell_is_a_number_where_it_is_one_to_the_input(cell: object) -> None:
    codec = codec_of(NUMBERS, [1])
    try:
        theirs = float(NUMBERS.read(cell))
    except CellError:
        with pytest.raises(CellError):
            codec.read(cell)
    else:
        assert codec.read(cell).tolist() == [theirs]


def test_an_outlier_is_clipped_as_in_the_input() -> None:
    values: list[object] = [float(one) for one in range(11)]
    codec = codec_of(inputs.Number().fit(values), values)
    (found,) = target_of(codec, [1e6])
    assert found[0] == pytest.approx((20 - 5) / np.std(np.arange(11)))  # one training range beyond the end
    assert codec.decode(torch.from_numpy(found[None]))[""] == pytest.approx([20.0])


def test_ranks_are_turned_back_into_numbers() -> None:
    values: list[object] = [0.0] * 20 + [float(2**power) for power in range(20)]
    codec = codec_of(inputs.Number(scaling="quantile").fit(values), values)
    some: list[object] = [0.0, 1.0, 16.0, 1024.0, 2.0**19]
    answers = codec.decode(torch.from_numpy(target_of(codec, some)))[""]
    np.testing.assert_allclose(answers, some, rtol=1e-3, atol=1e-3)


def test_vectors_are_those_of_the_input() -> None:
    cells: list[object] = [[1, 5.0], [2, 5.0], "3|5"]
    reader = inputs.Vector().fit(cells)
    codec = codec_of(reader, cells)
    odd: list[object] = [[True, Decimal("1.5")], np.array([True, False]), np.array([1, 2], dtype=object), (1e6, 1e9)]
    odd += ["1|2|3", [1e39, 0], np.array([[1, 2]]), [], "1|x", [1, None], np.array(["1", "2"]), [0, 5.0000001], 5, None]
    for cell in [*cells, *odd]:
        try:
            theirs = reader.batch([reader.read(cell)])["vector"][0].numpy()
        except CellError:
            with pytest.raises(CellError):
                codec.read(cell)
        else:
            np.testing.assert_allclose(target_of(codec, [cell])[0], theirs, rtol=1e-6)


@pytest.mark.parametrize("words", [False, True])
def test_texts_are_those_of_the_input(words: bool) -> None:
    cells: list[object] = [
        "a slow boat",
        ["New", "York City", "a"],
        5.0,
        True,
        np.float64(2),
        ["", "boat", " ", "up"],
        [],
    ]
    reader = inputs.Text(vocabulary=300, words=words).fit(cells)
    codec = codec_of(reader, cells)
    hidden = reader.tokenizer.size + 1
    for cell in cells:
        theirs = reader.read(cell)
        ids = [-1 if one == hidden else one for one in (theirs[0] if words else theirs)[1:].tolist()]
        assert codec.read(cell).tolist() == [*ids, 0]
    for cell in (b"x", {"no": 1}, [["a"]]):
        with pytest.raises(CellError):
            codec.read(cell)
    assert codec.decode(torch.from_numpy(target_of(codec, cells[1:2])))[""] == ["new york city a"]


def test_categories_are_those_of_the_input() -> None:
    cells: list[object] = ["nan", "nan", Decimal(3), Decimal(3), 5, 5.0, " red", "red"]
    reader = inputs.Category().fit(cells)
    codec = codec_of(reader, cells)
    for cell in [*cells, "3", float("nan"), "5", np.int64(5), "blue"]:
        assert codec.read(cell).tolist() == [int(reader.read(cell))]
    with pytest.raises(CellError):
        codec.read(["red"])


# --- scores


def test_a_category_that_training_never_had_is_a_miss() -> None:
    cells: list[object] = ["red", "red", "blue", "blue", "blue", "once"]
    codec = codec_of(inputs.Category().fit(cells), cells)
    assert [codec.knows(cell) for cell in (" red ", "blue", "once", "green")] == [True, True, False, False]
    target = torch.from_numpy(target_of(codec, ["red", "green", "blue", "once"]))
    (mse,) = codec.metrics()
    for said, wrong in (([2, 0, 1, 0], 2), ([2, 1, 1, 1], 2), ([0, 0, 0, 0], 4)):
        assert mse.compute(torch.tensor(said)[:, None], target) == wrong / 4
    assert codec_of(inputs.Text(vocabulary=300).fit(["a"]), ["a"]).knows("never seen")


def test_the_trivial_category_is_one_that_can_be_right() -> None:
    cells: list[object] = ["red", "red", *map(str, range(5))]
    codec = codec_of(inputs.Category().fit(cells), cells)
    target = torch.from_numpy(target_of(codec, cells))
    assert codec.decode(codec.trivial(codec.prior(target), target))[""] == ["red"] * 7


def sounds() -> list[object]:
    chance = np.random.default_rng(1)
    return [(chance.normal(0, 0.1 + chance.random(), 3000).astype(np.float32), 8000) for _ in range(30)]


@pytest.mark.parametrize("kind", ["audio", "image", "number", "vector"])
@pytest.mark.parametrize("size", [2, 16])
def test_the_mean_scores_one(kind: str, size: int) -> None:
    """Noise that is averaged down varies less; pictures share what they have in common."""
    chance = np.random.default_rng(0)
    shared = np.linspace(60, 180, 20)[:, None, None] + np.zeros((20, 24, 3))
    cells: list[object] = {
        "audio": sounds(),
        "image": [
            (shared + chance.normal(0, 20, (20, 24, 3)) + chance.normal(0, 9)).clip(0, 255).astype(np.uint8)
            for _ in range(30)
        ],
        "number": list(chance.normal(5, 3, 100)),
        "vector": list(chance.normal(5, [1.0, 7.0], (100, 2))),
    }[kind]
    reader = {"audio": inputs.Audio(), "image": inputs.Image(), "number": inputs.Number(), "vector": inputs.Vector()}
    codec = codec_of(reader[kind].fit(cells), cells, size=size)
    target = torch.from_numpy(target_of(codec, cells))
    (mse,) = codec.metrics()
    assert mse.compute(codec.trivial(codec.prior(target), target), target) == pytest.approx(1, rel=1e-3)


def test_what_never_changes_stays_near_zero() -> None:
    flat: list[object] = [np.full((8, 8, 3), 200, dtype=np.uint8)] * 3
    codec = codec_of(inputs.Image().fit(flat), flat)
    assert codec.form.deviation == (1.0, 1.0, 1.0)
    assert np.abs(target_of(codec, flat)).max() < 1e-6


def test_many_cells_are_sampled_evenly() -> None:
    cells: list[object] = [np.full((2, 2), value % 256, dtype=np.uint8) for value in range(600)]
    reader = inputs.Image().fit(cells[:2])
    expected = np.mean([np.asarray(cells[int(place)]).mean() for place in np.linspace(0, 599, 256)])
    assert codec_of(reader, cells).form.mean[0] == pytest.approx(expected)
    bad: list[object] = [{"no": "picture"}] * 600
    assert codec_of(reader, [bad[0], cells[7], *bad]).form.mean == (7.0,)


@pytest.mark.parametrize("kind", ["audio", "image"])
def test_the_fitted_codec_survives_json(kind: str) -> None:
    cells = input_cells(kind)
    reader = (inputs.Audio() if kind == "audio" else inputs.Image(**MOVED)).fit(cells)
    codec = codec_of(reader, cells)
    again = Reconstruction(of="x").restore(codec.model_dump(mode="json"))
    assert again == codec
    assert again.varies == (kind == "image")
