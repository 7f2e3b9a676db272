"""Reconstruction: what each kind of input is asked for, losses and scores by hand, absent inputs filled in."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from motet import inputs, media
from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells, Tokens
from motet.inputs.base import Preparation
from motet.tasks import Reading, Reconstruction, Source
from motet.tasks.reconstruction import ArrayCodec, ArrayHead, IdsCodec, IdsHead
from motet.tasks.reconstruction.arrayforms import NumberForm, VectorForm
from motet.tasks.reconstruction.idforms import TextForm
from motet.testing.examples import input_cells
from motet.text import Tokenizer

KINDS: dict[str, inputs.InputSpec] = {
    "audio": inputs.Audio(),
    "category": inputs.Category(),
    "image": inputs.Image(),
    "number": inputs.Number(),
    "text": inputs.Text(vocabulary=300),
    "vector": inputs.Vector(),
}


def prepared(kind: str, cells: list[object] | None = None) -> Preparation:
    return KINDS[kind].fit(input_cells(kind) if cells is None else cells)


def fitted(kind: str, **fields: Any) -> Any:
    spec = Reconstruction(of="x", **fields)
    return spec.fit(input_cells(kind), {"x": prepared(kind)})


def targets(codec: Any, cells: list[object]) -> torch.Tensor:
    found: torch.Tensor = codec.batch([codec.read(cell) for cell in cells])["target"]
    return found


# --- what is asked for is what the input's own preparation gave


def test_numbers_are_standardised_as_the_input_is() -> None:
    cells, reader = input_cells("number"), prepared("number")
    theirs = reader.batch([reader.read(cell) for cell in cells])["features"][:, 0]
    torch.testing.assert_close(targets(fitted("number"), cells)[:, 0], theirs)


def test_vectors_are_standardised_as_the_input_is() -> None:
    cells, reader = input_cells("vector"), prepared("vector")
    theirs = reader.batch([reader.read(cell) for cell in cells])["vector"]
    torch.testing.assert_close(targets(fitted("vector"), cells), theirs)


def test_categories_have_the_numbers_of_the_input() -> None:
    cells = [*input_cells("category"), " red ", "never seen"]
    reader = prepared("category")
    theirs = reader.batch([reader.read(cell) for cell in cells])["index"]
    assert torch.equal(targets(fitted("category"), cells)[:, 0], theirs)


def test_texts_have_the_ids_of_the_input_and_an_end() -> None:
    cells, reader = input_cells("text"), prepared("text")
    theirs = reader.batch([reader.read(cell) for cell in cells])
    ours = targets(fitted("text"), cells)
    for own, ids, mask in zip(ours, theirs["ids"], theirs["mask"], strict=True):
        assert [one for one in own.tolist() if one != -1] == [*ids[mask].tolist()[1:], 0]


@pytest.mark.parametrize("shape", [(8, 8, 3), (8, 12, 3), (8, 8, 1)])
def test_pictures_are_those_of_the_input_where_they_are_small_enough(shape: tuple[int, ...]) -> None:
    chance = np.random.default_rng(0)
    cells: list[object] = [chance.integers(0, 256, shape, dtype=np.uint8) for _ in range(3)]
    reader = prepared("image", cells)
    theirs = reader.batch([reader.read(cell) for cell in cells])["pixels"].permute(0, 2, 3, 1)
    codec = Reconstruction(of="x").fit(cells, {"x": reader})
    pixels = theirs * torch.tensor(reader.deviation) + torch.tensor(reader.mean)
    ours = codec.form.unscaled(targets(codec, cells).numpy())
    np.testing.assert_allclose(ours, pixels, rtol=1e-4, atol=1e-3)


def test_larger_pictures_are_reduced_to_means() -> None:
    """Four flat quarters are left as four pixels; the longer side counts."""
    quarters = np.repeat(np.repeat(np.array([[0, 40], [80, 120]], dtype=np.uint8), 16, axis=0), 32, axis=1)
    reader = prepared("image", [quarters, 255 - quarters])
    codec = Reconstruction(of="x", size=2).fit([quarters], {"x": reader})
    assert codec.form.size == (1, 2)
    pixels = codec.form.unscaled(targets(codec, [quarters]).numpy())[0, :, :, 0]
    assert pixels[0] == pytest.approx([40, 80], abs=6)


def test_sounds_are_the_mean_spectra_of_their_parts() -> None:
    sound = (np.sin(np.arange(4000) * 0.3).astype(np.float32), 8000)
    reader = prepared("audio")
    frames = reader.read(sound)
    for parts in (1, 3, len(frames), 2 * len(frames)):
        codec = Reconstruction(of="x", size=parts).fit([sound], {"x": reader})
        expected = []
        for part in range(parts):
            start, end = part * len(frames) / parts, (part + 1) * len(frames) / parts
            inside = [f for f in range(len(frames)) if f < end and f + 1 > start]
            expected.append(np.mean([frames[f] for f in inside], axis=0))
        spectra = targets(codec, [sound])[0].numpy() * codec.form.deviation + codec.form.mean
        np.testing.assert_allclose(spectra, expected, rtol=1e-3, atol=1e-3)


# --- what is answered


def test_answers_are_in_the_units_of_the_cells() -> None:
    cells: list[object] = [3.0, 5.0, 10.0]
    codec = Reconstruction(of="x").fit(cells, {"x": prepared("number", cells)})
    assert codec.decode(targets(codec, cells))[""] == pytest.approx([3.0, 5.0, 10.0])
    vectors = input_cells("vector")
    codec = fitted("vector")
    np.testing.assert_allclose(codec.decode(targets(codec, vectors))[""], vectors, rtol=1e-5)
    assert fitted("category").decode(torch.tensor([[1], [0], [3], [-1]]))[""] == ["blue", None, "red", None]


def test_texts_are_written_up_to_their_end() -> None:
    codec = fitted("text")
    texts = ["a slow boat", "", "nobody"]
    target = targets(codec, texts)
    assert codec.decode(target)[""] == texts
    assert codec.decode(torch.full((1, 4), -1))[""] == [None]


def test_pictures_are_png_bytes() -> None:
    cells = input_cells("image")
    codec = fitted("image", size=6)
    target = targets(codec, cells)
    for png, cell in zip(codec.decode(target)[""], cells, strict=True):
        with Image.open(io.BytesIO(png)) as picture:
            assert picture.format == "PNG"
            assert max(picture.size) == 6
        (reduced,) = codec.form.arrays([codec.read(cell)])
        np.testing.assert_allclose(media.image(png), reduced, atol=0.51)
    grey = np.zeros((4, 4, 1), dtype=np.uint8)
    one = Reconstruction(of="x").fit([grey], {"x": prepared("image", [grey])})
    assert media.image(one.decode(targets(one, [grey]))[""][0]).shape == (4, 4, 1)


def test_sounds_are_lists_of_bands() -> None:
    sound = (np.sin(np.arange(4000) * 0.3).astype(np.float32), 8000)
    codec = Reconstruction(of="x", size=3).fit([sound], {"x": prepared("audio")})
    (spectra,) = codec.decode(targets(codec, [sound]))[""]
    np.testing.assert_allclose(spectra, codec.form.read(sound), rtol=1e-4, atol=1e-4)


# --- losses and scores


def test_the_loss_of_arrays_by_hand() -> None:
    spec = Reconstruction(of="x")
    output = torch.tensor([[1.0, 2.0], [0.0, 4.0], [9.0, 9.0]])
    target = Cells({"target": torch.tensor([[0.0, 0.0], [1.0, 1.0], [5.0, 5.0]])}, torch.tensor([True, True, False]))
    assert spec.loss(output, target).tolist() == [2.5, 5.0, 0.0]


def test_the_loss_of_ids_as_written() -> None:
    """-log p of the true id, p a softmax written out, averaged over the places of a row."""
    generator = torch.Generator().manual_seed(0)
    spec, head = Reconstruction(of="x"), IdsHead(3, num_ids=5, longest=4, ends=True, width=6)
    reading = Reading(torch.randn(2, 3, generator=generator), {})
    ids = [[3, 1, 4, 0], [2, 0]]
    target = Cells({"target": torch.tensor([ids[0], [*ids[1], -1, -1]])}, torch.ones(2, dtype=torch.bool))
    found = spec.loss(head(reading, target), target)
    for row, (features, own) in enumerate(zip(reading.features, ids, strict=True)):
        total = 0.0
        for place, id in enumerate(own):
            hidden = torch.nn.functional.gelu(head.features(features) + head.places[place])
            logits = head.ids(hidden).double()
            total -= float((logits[id] - logits.exp().sum().log()).detach())
        assert found[row].item() == pytest.approx(total / len(own), rel=1e-5)


def test_mse_by_hand() -> None:
    codec = ArrayCodec(form=VectorForm(mean=(1.0, 2.0), deviation=(2.0, 4.0), separator="|"))
    (mse,) = codec.metrics()
    output, target = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    assert mse.compute(output, target) == pytest.approx((1 + 4) / 4)
    assert mse.best == 0
    assert np.isnan(mse.compute(torch.tensor([[np.nan, 0.0]]), target[:1]))
    assert np.isnan(mse.compute(output[:0], target[:0]))


def test_the_mean_has_a_mean_squared_error_of_one() -> None:
    cells: list[object] = list(np.random.default_rng(0).normal(5, 3, 400))
    codec = Reconstruction(of="x").fit(cells, {"x": prepared("number", cells)})
    target = targets(codec, cells)
    assert codec.metrics()[0].compute(codec.trivial(codec.prior(target), target), target) == pytest.approx(1, rel=1e-3)


def test_mse_of_ids_is_half_the_squared_distance_of_ones_in_their_places() -> None:
    codec = fitted("text")
    (mse,) = codec.metrics()
    output = torch.tensor([[5, 6, 0], [7, 0, -1], [-1, -1, -1]])
    target = torch.tensor([[5, 9, 8, 0], [7, 0, -1, -1], [4, 0, -1, -1]])
    total, places = 0.0, 0
    for said, true in zip(output.tolist(), target.tolist(), strict=True):
        for place, id in enumerate(true):
            if id == -1:
                continue
            answer = np.zeros(300)
            if place < len(said) and said[place] != -1:
                answer[said[place]] = 1
            distance = float(((answer - np.eye(300)[id]) ** 2).sum()) / 2
            total, places = total + min(1.0, 2 * distance), places + 1  # no answer at all: wrong, not half wrong
    assert mse.compute(output, target) == pytest.approx(total / places) == pytest.approx(5 / 8)
    assert mse.compute(torch.nn.functional.pad(output, (0, 5), value=3), target) < 1


def test_no_constant_ids_are_better_than_the_trivial_ones() -> None:
    codec = IdsCodec(form=TextForm(tokenizer=Tokenizer.train(["a"], vocabulary=300, lowercase=True), max_tokens=3))
    target = torch.tensor([[1, 2, 0], [1, 0, -1], [2, 2, 0], [2, 0, -1], [2, 1, 0]])
    (mse,) = codec.metrics()
    best = min(mse.compute(torch.tensor([ids]).expand(5, 3), target) for ids in itertools.product(range(4), repeat=3))
    assert mse.compute(codec.trivial(codec.prior(target), target), target) == pytest.approx(best)


# --- heads


def test_an_untrained_head_says_nearly_the_mean() -> None:
    head = ArrayHead(8, shape=(2, 3), hidden=[16])
    mean = torch.arange(6.0).reshape(2, 3)
    head.start_from(mean)
    said = head.answer(Reading(torch.randn(50, 8, generator=torch.Generator().manual_seed(0)), {}))
    assert (said - mean).abs().max() < 0.2
    assert said.std(dim=0).min() > 0


def test_a_text_is_answered_up_to_its_first_end() -> None:
    head = IdsHead(2, num_ids=4, longest=5, ends=True, width=8)
    with torch.no_grad():
        for row, ids in enumerate([[3, 0, 2, 0, 1], [1, 2, 3, 1, 2]]):
            for place, id in enumerate(ids):
                head.places[place, 0] = 0.0
                head.ids.weight.zero_(), head.ids.bias.zero_()
                logits = torch.zeros(4)
                logits[id] = 9
                head.ids.bias.copy_(logits)
                said = head.answer(Reading(torch.zeros(1, 2), {}))[0].tolist()
                assert said == ([0, -1, -1, -1, -1] if id == 0 else [id] * 5), row


def test_tokens_are_asked_in_their_own_places() -> None:
    """A head whose ids are the tokens themselves gives them back: the start is left out, and the end stands behind."""
    codec = fitted("text")
    text = ["boat", "up"]
    target = targets(codec, text)
    length = target.shape[1]
    head = IdsHead(2, num_ids=codec.form.num_ids, longest=64, ends=True, width=codec.form.num_ids, tokens=301)
    with torch.no_grad():
        for linear in (head.features, head.tokens, head.ids):
            assert linear is not None
            linear.weight.zero_(), linear.bias.zero_()
        head.tokens.weight[:, :300].copy_(9 * torch.eye(300))
        head.ids.weight.copy_(torch.eye(300))
        head.ids.bias[0] = 1.0
    values, mask = torch.zeros(2, length, 301), torch.zeros(2, length, dtype=torch.bool)
    for row, ids in enumerate(target):
        ids = ids[ids > 0]
        mask[row, : len(ids) + 1] = True
        values[row, 0, 300] = 1.0
        values[row, 1 : len(ids) + 1, :300] = torch.nn.functional.one_hot(ids, 300).float()
        values[row, len(ids) + 1 :] = torch.nan
    tokens = Tokens(values, mask, torch.tensor([True, True]))
    assert torch.equal(head.answer(Reading(torch.zeros(2, 2), {"x": tokens})), target)
    absent = Tokens(values, torch.arange(length).expand(2, -1) == 0, torch.tensor([True, False]))
    assert head.answer(Reading(torch.zeros(2, 2), {"x": absent}))[1].unique().tolist() == [-1]


def test_who_is_known() -> None:
    present = {"x": torch.tensor([True, False])}
    assert Reconstruction(of="x").known(present).tolist() == [True, True]
    assert Reconstruction(of="x", read="tokens").known(present).tolist() == [True, False]


# --- what is refused


def test_what_can_not_be_read_is_refused() -> None:
    vector = VectorForm(mean=(0.0, 0.0), deviation=(1.0, 1.0), separator="|")
    for cell in ("1", "1|x", [1, None], [[1], [2]], 5.0):
        with pytest.raises(CellError):
            vector.read(cell)
    with pytest.raises(CellError, match="not a number"):
        NumberForm(mean=(0.0,), deviation=(1.0,), low=0.0, high=1.0).read("old")
    codec = fitted("image")
    for several in (media_bag(), ["a.png", "b.png"]):
        with pytest.raises(CellError, match="found several"):
            codec.read(several)
    one = np.zeros((4, 4, 3), dtype=np.uint8)
    assert np.array_equal(codec.read((one,)), codec.read(one))


def media_bag() -> object:
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    return (picture, picture)


def test_a_vector_file_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([1.5, 2.0]))
    vector = VectorForm(mean=(0.0, 0.0), deviation=(1.0, 1.0), separator="|")
    assert vector.read(tmp_path / "x.npy").tolist() == vector.read("1.5|2").tolist() == [1.5, 2.0]


def test_what_can_not_be_reconstructed_is_refused() -> None:
    with pytest.raises(ValidationError, match="no column of labels"):
        Reconstruction(column="x")
    with pytest.raises(ValidationError, match="no column of labels"):
        Reconstruction(missing=("x",))
    kinds = {"age": "number", "note": "text", "when": "datetime"}
    assert Reconstruction(read="tokens").reading(kinds).reads == ("note",)
    with pytest.raises(SpecError, match="there are age, note: name one by `of`"):
        Reconstruction().reading(kinds)
    with pytest.raises(SpecError, match="'age' is of kind number; a reconstruction task reads an input of kind text"):
        Reconstruction(of="age", read="tokens").reading(kinds)
    bag = inputs.Image().fit([media_bag()])
    with pytest.raises(SpecError, match="several pictures"):
        Reconstruction(of="x").fit([], {"x": bag})
    with pytest.raises(DataError, match="no training row has a cell"):
        Reconstruction(of="x").fit([{}], {"x": prepared("number")})


def test_the_codec_of_a_bundle_is_of_the_same_kind() -> None:
    for kind in KINDS:
        codec = fitted(kind)
        assert Reconstruction(of="x").restore(codec.model_dump(mode="json")) == codec


def test_a_head_for_every_kind() -> None:
    for kind in KINDS:
        codec, spec = fitted(kind), Reconstruction(of="x", size=16)
        head = spec.build(codec, 4, {"x": Source(6, prepared(kind))})
        said = head.answer(Reading(torch.zeros(2, 4), {}))
        assert len(codec.decode(said)[""]) == 2
        target = targets(codec, input_cells(kind)[:2])
        assert said.ndim == target.ndim
        assert said.dtype == target.dtype
