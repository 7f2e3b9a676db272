"""A class per pixel: labels, loss by hand, scores against scikit-learn, answers, and what is refused."""

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from sklearn.metrics import confusion_matrix, jaccard_score

from motet import inputs
from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells
from motet.media import plane
from motet.tasks import Segmentation, SegmentationCodec, dense
from motet.tasks.part import Reading
from motet.tasks.segmentation.overlap import class_counts, mean_iou, pixel_accuracy
from motet.testing.examples import task_labels
from motet.testing.part_case import PartCase

PICTURE = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
MASK = np.array([[0, 0, 7, 7, 7, 7], [0, 0, 7, 7, 7, 7], [0, 0, 0, 255, 255, 2], [2, 2, 2, 2, 2, 2]], dtype=np.uint8)
CLASSES = arrays.arrays(np.int16, (2, 3, 4), elements=st.integers(-1, 3))


def readers(**changes: Any) -> Any:
    return {"photo": inputs.Image(**{"size": (4, 6), "crop": 0.0, **changes}).fit([PICTURE])}


def codec(masks: Any = (MASK,), of: Any = None, **changes: Any) -> SegmentationCodec:
    return Segmentation(of="photo", **{"ignore": (255,), **changes}).fit(list(masks), of or readers())


def png(numbers: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(numbers).save(out, "PNG")
    return out.getvalue()


def test_classes_are_those_of_the_training_masks_and_numbered_by_value() -> None:
    one = codec()
    assert one.values == (0, 2, 7)
    assert one.names == ("0", "2", "7")
    found = one.read(png(MASK))
    assert found.dtype == np.int16
    assert found.tolist() == [[0, 0, 2, 2, 2, 2], [0, 0, 2, 2, 2, 2], [0, 0, 0, -1, -1, 1], [1] * 6]


def test_a_mask_of_another_size_is_stretched_over_the_picture() -> None:
    assert codec(of=readers(size=(2, 3))).read(MASK).tolist() == [[0, 2, 2], [1, 1, 1]]
    assert codec().read([[0, 7]]).tolist() == [[0, 0, 0, 2, 2, 2]] * 4


def test_named_classes_leave_no_others() -> None:
    one = codec([[[0, 2]]], classes=("sky", "void", "road"), ignore=(1,))
    assert one.values == (0, 2)
    assert one.names == ("sky", "road")
    assert one.read([[0, 1, 2, 2, 2, 2]]).tolist() == [[0, -1, 1, 1, 1, 1]] * 4
    with pytest.raises(CellError, match=r"class 3, which is not one of the 2 `classes`, nor in `ignore`"):
        one.read([[0, 3]])


def test_a_class_that_no_training_row_has_is_a_miss() -> None:
    one = codec()
    strange = np.where(MASK == 2, 5, MASK)
    assert not one.knows(strange)
    assert one.knows(MASK)
    target = torch.from_numpy(one.read(strange))[None]
    assert int((target == -2).sum()) == 7
    said = one.certain(target)
    miou, accuracy = one.metrics()
    assert miou.compute(said, target) == pytest.approx((1 + 1 + 0) / 3)
    assert accuracy.compute(said, target) == pytest.approx(15 / 22)


@pytest.mark.parametrize(
    ("masks", "changes", "reason"),
    [
        ([], {}, "no training row has a mask"),
        ([b"no picture"], {}, "no training row has a mask"),
        ([np.full((2, 2), 255)], {}, "no training row has a mask with a labelled pixel"),
        ([np.full((2, 2), 3)], {}, "every labelled pixel of the training rows is of class 3"),
        (
            [np.arange(2000).reshape(40, 50)],
            {},
            "1999 different numbers in the masks: too many for classes; try kind depth",
        ),
        ([np.array([[-1, 0, 1]])], {}, "found -1; is it no label"),
        ([np.array([[0.5, 1.25]])], {}, "no training row has a mask"),
    ],
)
def test_nothing_to_learn_from_is_said_at_once(masks: Any, changes: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        codec(masks, **changes)


def test_masks_of_colours_and_of_changed_numbers_are_refused() -> None:
    with pytest.raises(CellError, match="one number per pixel, found colours"):
        codec().read(png(np.zeros((2, 2, 3), np.uint8)))
    with pytest.raises(CellError, match="not a whole number"):
        codec().read(np.array([[0.5]]))


def test_rows_of_several_pictures_are_refused_by_name() -> None:
    bag = inputs.Image(size=(4, 6), columns=("photo", "print")).fit([(PICTURE, PICTURE)])
    with pytest.raises(SpecError, match=r"of: the rows of 'photo' have several pictures"):
        codec(of={"photo": bag})


def test_the_input_it_reads_is_an_image() -> None:
    assert Segmentation().reading({"photo": "image", "age": "number"}).reads == ("photo",)
    with pytest.raises(SpecError, match="there are left, right: name one by `of`"):
        Segmentation().reading({"left": "image", "right": "image"})
    with pytest.raises(SpecError, match="of kind number"):
        Segmentation(of="age").reading({"photo": "image", "age": "number"})


def test_the_loss_is_the_mean_cross_entropy_of_the_labelled_pixels() -> None:
    logits = torch.randn(3, 4, 3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.from_numpy(np.random.default_rng(0).integers(-2, 4, (3, 3, 4)).astype(np.int16))
    labels[2] = -1
    present = torch.tensor([True, True, True])
    found = Segmentation().loss(logits, Cells({"target": labels}, present))
    for row in range(2):
        parts = []
        for y in range(3):
            for x in range(4):
                if (label := int(labels[row, y, x])) >= 0:
                    of_pixel = logits[row, :, y, x].exp()
                    parts.append(-(of_pixel[label] / of_pixel.sum()).log())
        torch.testing.assert_close(found[row], torch.stack(parts).mean())
    assert found[2].item() == 0
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert bool((gradient[2] == 0).all())
    silent = (labels < 0)[:, None].expand_as(gradient)
    assert bool((gradient[silent] == 0).all())


def test_weights_of_classes_are_by_name_or_by_how_often_they_occur() -> None:
    assert codec().weights is None
    assert codec(class_weights={"7": 3.0}).weights == (1.0, 1.0, 3.0)
    n = np.array([7, 7, 8])  # pixels of classes 0, 2, 7
    assert codec(class_weights="balanced").weights == pytest.approx(22 / (3 * n))
    roots = codec(class_weights="root").weights
    assert roots is not None
    assert roots[0] / roots[2] == pytest.approx(math.sqrt(8 / 7))
    assert np.average(roots, weights=n) == pytest.approx(1)
    named = codec(classes=("sky", "sea", "cup"), class_weights={"cup": 2.0}, masks=[[[0, 2]]])
    assert named.weights == (1.0, 1.0, 2.0)
    with pytest.raises(SpecError, match="class_weights: no training row has the label 'cap'; did you mean 'cup'"):
        codec(classes=("sky", "sea", "cup"), class_weights={"cap": 2.0}, masks=[[[0, 2]]])


def test_weights_multiply_the_loss_of_their_pixels() -> None:
    one = codec(class_weights={"2": 5.0, "7": 0.5})
    values = one.batch([one.read(MASK)])
    logits = torch.randn(1, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    found = Segmentation().loss(logits, Cells(values, torch.tensor([True])))
    parts = []
    for y in range(4):
        for x in range(6):
            if (label := int(values["target"][0, y, x])) >= 0:
                log = logits[0, :, y, x].log_softmax(dim=0)[label]
                parts.append(-(1.0, 5.0, 0.5)[label] * log)
    torch.testing.assert_close(found[0], torch.stack(parts).sum() / 22)


@given(CLASSES, CLASSES)
def test_the_scores_are_those_of_scikit_learn(answer: np.ndarray, truth: np.ndarray) -> None:
    labelled = truth >= 0
    counts = class_counts(answer, truth, num_classes=4).sum(axis=0)
    if not labelled.any():
        assert np.isnan(mean_iou(counts))
        assert np.isnan(pixel_accuracy(counts))
        return
    said, true = answer[labelled], truth[labelled]
    matrix = confusion_matrix(true, said, labels=[0, 1, 2, 3, -1])
    there = [one for one in range(4) if matrix[one].sum() + matrix[:, one].sum() > 0]
    expected = jaccard_score(true, said, labels=there, average="macro", zero_division=0)
    assert mean_iou(counts) == pytest.approx(expected)
    assert pixel_accuracy(counts) == pytest.approx(np.trace(matrix) / matrix.sum())


def test_scores_by_hand_over_all_rows_and_of_drawn_ones() -> None:
    one = codec()
    truth = torch.tensor([[[0, 0, 1, 1]], [[2, 2, -1, -1]]], dtype=torch.int16)
    answer = torch.tensor([[[0, 1, 1, 1]], [[2, 0, 0, 0]]], dtype=torch.int16)
    miou, accuracy = one.metrics()
    assert miou.compute(answer, truth) == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)
    assert accuracy.compute(answer, truth) == pytest.approx(4 / 6)
    assert miou.of_rows(answer, truth)(torch.tensor([0, 0])) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_a_row_without_an_answer_is_a_miss_and_is_not_answered() -> None:
    one, target = codec(), torch.from_numpy(codec().read(MASK))[None].repeat(2, 1, 1)
    answer = target.clone()
    answer[1] = -1
    assert one.metrics()[1].compute(answer, target) == pytest.approx(0.5)
    assert one.metrics()[0].compute(answer, target) == pytest.approx(0.5)
    assert [value is None for value in one.decode(answer)[""]] == [False, True]
    assert one.decode(answer)["classes"][1] is None


def test_answers_are_masks_with_the_values_of_the_labels() -> None:
    one = codec()
    answers = one.decode(torch.from_numpy(one.read(MASK))[None])
    np.testing.assert_array_equal(plane(answers[""][0]), MASK)
    assert answers["classes"] == [["7", "0", "2"]]
    assert answers["shares"] == [pytest.approx([8 / 24, 7 / 24, 7 / 24])]
    np.testing.assert_array_equal(one.read(answers[""][0]), one.read(MASK))


def test_answers_are_given_at_the_size_of_the_picture() -> None:
    one = codec(of=readers(size=(2, 3)))
    columns = one.decode(torch.tensor([[[0, 1, 2], [2, 1, 0]], [[0, 0, 0], [0, 0, 0]], [[-1] * 3] * 2]))
    grown = one.at_size(columns, [(4, 6), None, (4, 6)])
    expected = np.array([[0, 2, 7], [7, 2, 0]]).repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_array_equal(plane(grown[""][0]), expected)
    assert grown[""][1] == columns[""][1]
    assert grown[""][2] is None
    assert grown["classes"] == columns["classes"]


def test_values_beyond_a_byte_fit_a_png_of_16_bits() -> None:
    wide = np.array([[0, 300, 40_000]])
    one = codec([wide], of=readers(size=(1, 3)))
    np.testing.assert_array_equal(plane(one.decode(torch.tensor([[[0, 1, 2]]]))[""][0]), wide)


def test_the_prior_is_the_log_frequency_and_the_trivial_answer_its_mode() -> None:
    one = codec()
    target = torch.from_numpy(one.read(MASK))[None]
    prior = one.prior(target)
    torch.testing.assert_close(prior.exp(), (torch.tensor([7.0, 7.0, 8.0]) + 0.5) / 23.5)
    assert bool((one.trivial(prior, target) == 2).all())
    assert one.metrics()[1].compute(one.trivial(prior, target), target) == pytest.approx(8 / 22)


def test_many_or_large_pictures_are_answered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    case = PartCase(Segmentation(), task_labels("segmentation"))
    head, reading = case.build(), case.reading(absent=[3])
    whole = head.answer(reading)
    monkeypatch.setattr(dense, "PIXELS_AT_ONCE", 5 * 16 * 16)
    assert torch.equal(head.answer(reading), whole)
    assert bool((whole[3] == -1).all())


def test_other_inputs_are_heard() -> None:
    case = PartCase(Segmentation(), task_labels("segmentation"))
    head, reading, target = case.build(), case.reading(), case.target()
    other = Reading(reading.features + 1, reading.tokens)
    assert not torch.allclose(head(reading, target), head(other, target))


def test_a_pixel_without_a_class_has_a_number_of_its_own() -> None:
    found = codec([np.array([[0, 255], [65535, 0]], dtype=np.uint16)], ignore=())
    answer = torch.tensor([[[0, 1, -1, 2]]], dtype=torch.int16)
    (mask,) = found.decode(answer)[""]
    assert plane(mask).tolist() == [[0, 255, 256, 65535]]
