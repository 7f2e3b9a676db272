"""Boxes: equations by hand, labels that move with their pictures, COCO's score, and the whole path."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import motet
from motet import inputs, tasks
from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells
from motet.media import Framing
from motet.tasks.detection.codec import areas
from motet.tasks.detection.head import focal, generalized_overlap, heat_of
from motet.tasks.detection.precision import mean_average_precision

PICTURE = np.zeros((40, 80, 3), dtype=np.uint8)


class Pictures:
    """What a picture's preparation says of itself."""

    framing = Framing(size=(20, 40), crop=0.25, flip=True)


def codec(**changes: Any) -> tasks.DetectionCodec:
    spec = tasks.Detection(of="photo", **changes)
    cells = [([{"label": "cup", "box": [0, 0, 1, 1]}, {"label": "bowl", "box": [0, 0, 1, 1]}], PICTURE)]
    return spec.fit(cells, {"photo": Pictures()})  # type: ignore[dict-item]


def test_boxes_are_read_in_pixels_of_their_own_picture() -> None:
    item = codec().read((json.dumps([{"label": "cup", "box": [8, 4, 40, 40]}]), PICTURE))
    assert item.tolist() == [[pytest.approx(0.1), pytest.approx(0.1), 0.5, 1.0, 2.0]]  # bowl is 1, cup 2
    assert codec(unit="fractions").read(([{"label": "bowl", "box": [0, 0, 0.5, 1]}], PICTURE)).tolist() == [
        [0, 0, 0.5, 1, 1]
    ]
    assert codec().read(("[]", PICTURE)).shape == (0, 5)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("cup", "not JSON"),
        ([{"label": "cup"}], "an object with label and box"),
        ([{"label": "cup", "box": [1, 2, 3]}], "a box is four numbers"),
        ([{"label": "cup", "box": [5, 2, 3, 4]}], "to a larger x1, y1"),
        ([{"label": "cup", "box": [5, 2, 95, 4]}], "leads out of the picture of 80 x 40 pixels"),
        ([{"label": "cup", "box": [5, 2, float("nan"), 4]}], "to a larger x1, y1"),
    ],
)
def test_what_is_no_box_is_refused_with_a_reason(cell: object, reason: str) -> None:
    with pytest.raises(CellError, match=reason):
        codec().read((cell, PICTURE))


def test_nothing_to_find_and_several_pictures_are_refused() -> None:
    with pytest.raises(DataError, match="no training row has a box"):
        tasks.Detection(of="photo").fit([([], PICTURE)], {"photo": Pictures()})  # type: ignore[dict-item]
    bag = inputs.Image().fit([(PICTURE, PICTURE)])
    with pytest.raises(SpecError, match="several pictures"):
        tasks.Detection(of="photo").fit([([{"label": "cup", "box": [0, 0, 1, 1]}], PICTURE)], {"photo": bag})


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 12), st.integers(0, 28))
def test_boxes_move_with_their_picture(seed: int, top: int, left: int) -> None:
    """A white rectangle in a black picture is where its box says, shifted and mirrored."""
    size = (20, 40)
    pixels = np.zeros((*size, 1), dtype=np.uint8)
    pixels[top : top + 8, left : left + 12] = 255
    preparation = inputs.Image(size=size, channels=1, crop=0.25, flip=True).fit([pixels])
    label = [{"label": "cup", "box": [left, top, left + 12, top + 8]}]
    own = tasks.Detection(of="photo").fit([(label, pixels)], {"photo": preparation})
    moved = own.augment(own.read((label, pixels)), np.random.default_rng(seed))
    seen = preparation.augment(preparation.read(pixels), np.random.default_rng(seed))[:, :, 0] > 0
    if top == 0 or left == 0 or top + 8 == size[0] or left + 12 == size[1]:
        return  # what repeats the edge of the picture is not part of the box
    if len(moved) == 0:
        assert seen.sum() < 0.25 * 8 * 12 + 1e-6
        return
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    box = moved[0, :4] * np.array([40, 20, 40, 20])
    expected = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    assert np.allclose(box, expected, atol=1e-4)
    assert areas(moved)[0] > 0


def test_heat_is_one_at_the_middle_and_falls_as_written() -> None:
    truth = torch.tensor([[[0.2, 0.3, 0.6, 0.9, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]]])
    heat, owner = heat_of(truth, num_classes=2, size=(5, 10))
    assert not heat[0, 0].any()
    row, column = int(0.6 * 5), int(0.4 * 10)
    for y in range(5):
        for x in range(10):
            dx, dy = (x - column) / 10, (y - row) / 5
            spread_x, spread_y = 0.54 / 6 * 0.4, 0.54 / 6 * 0.6
            wanted = np.exp(-(dx**2) / (2 * spread_x**2) - dy**2 / (2 * spread_y**2))
            assert float(heat[0, 1, y, x]) == pytest.approx(wanted, abs=1e-5)
    assert float(heat[0, 1, row, column]) == 1
    assert int(owner[0, row, column]) == 0


def test_the_focal_loss_by_hand() -> None:
    logit, wanted = torch.tensor([[0.3, -1.2]]), torch.tensor([[1.0, 0.4]])
    p = 1 / (1 + np.exp(-logit.numpy()[0]))
    hot, cold = -((1 - p[0]) ** 2) * np.log(p[0]), -((1 - 0.4) ** 4) * p[1] ** 2 * np.log(1 - p[1])
    assert focal(logit, wanted)[0].tolist() == pytest.approx([hot, cold], rel=1e-5)


def test_generalized_overlap_by_hand() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]])
    truth = torch.tensor([[[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 1.0, 1.0], [2.0, 0.0, 3.0, 1.0]]])
    found = generalized_overlap(boxes, truth)[0].tolist()
    assert found == pytest.approx([1 / 7 - 2 / 9, 1, 0 - 1 / 3], abs=1e-6)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, width) * max(0.0, height)
    area = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(area) - both)


def precision_by_hand(output: np.ndarray, target: np.ndarray) -> float:
    scores = []
    for number in np.unique(target[:, :, 4][target[:, :, 4] > 0]):
        said = [(row, *one) for row in range(len(output)) for one in output[row] if one[5] == number]
        said.sort(key=lambda one: -one[5])
        total = int((target[:, :, 4] == number).sum())
        for least in np.arange(0.5, 0.96, 0.05):
            taken: set[tuple[int, int]] = set()
            hits = []
            for row, *box, _, _ in said:
                best, which = min(least, 1 - 1e-10), None
                for place, true in enumerate(target[row]):
                    if true[4] == number and (row, place) not in taken and overlap(np.array(box), true) >= best:
                        best, which = overlap(np.array(box), true), place
                hits.append(which is not None)
                if which is not None:
                    taken.add((row, which))
            right = np.cumsum(hits)
            recall, precision = right / total, right / np.arange(1, len(hits) + 1)
            at = [max((p for p, r in zip(precision, recall, strict=True) if r >= level), default=0.0)
                  for level in np.linspace(0, 1, 101)]  # fmt: skip
            scores.append(np.mean(at))
    return float(np.mean(scores))


def precision_of_coco(output: np.ndarray, target: np.ndarray) -> float:
    """By pycocotools from end to end."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def files(boxes: np.ndarray, there: np.ndarray, number: int) -> list[dict[str, Any]]:
        return [
            {"id": i + 1, "image_id": int(r), "category_id": int(boxes[r, p, number]), "iscrowd": 0, "area": 1.0,
             "bbox": [*boxes[r, p, :2], *(boxes[r, p, 2:4] - boxes[r, p, :2])], "score": float(boxes[r, p, 4])}
            for i, (r, p) in enumerate(np.argwhere(there))
        ]  # fmt: skip

    truth = COCO()
    classes = np.unique(target[:, :, 4][target[:, :, 4] > 0])
    truth.dataset = {
        "images": [{"id": row} for row in range(len(target))],
        "categories": [{"id": int(number)} for number in classes],
        "annotations": files(target, target[:, :, 4] > 0, 4),
    }
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes(files(output, output[:, :, 5] > 0, 5)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[0])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_the_score_is_that_of_a_program_of_twenty_lines(seed: int) -> None:
    chance = np.random.default_rng(seed)
    low, sides = chance.random((4, 5, 2)) * 0.6, 0.1 + 0.3 * chance.random((4, 5, 2))
    classes = chance.integers(1, 3, (4, 5, 1))
    target = np.concatenate([low, low + sides, classes * (chance.random((4, 5, 1)) < 0.8)], axis=2)
    boxes = target[:, :, :4] + 0.04 * chance.standard_normal((4, 5, 4))
    boxes[:, :, 2:] = np.maximum(boxes[:, :, 2:], boxes[:, :, :2] + 0.01)
    said = chance.integers(1, 3, (4, 5, 1))
    output = np.concatenate(
        [boxes, chance.random((4, 5, 1)), np.where(chance.random((4, 5, 1)) < 0.7, classes, said)], 2
    )
    if not (target[:, :, 4] > 0).any():
        return
    found = mean_average_precision(torch.tensor(output), torch.tensor(target))
    assert found == pytest.approx(precision_by_hand(output, target), abs=1e-6)
    assert found == pytest.approx(precision_of_coco(output, target), abs=1e-9)


def test_a_class_nobody_trained_on_counts_as_missed() -> None:
    own = codec()
    target = own.batch([own.read(([{"label": "jug", "box": [0, 0, 40, 40]}], PICTURE))])["target"]
    assert not own.knows(([{"label": "jug", "box": [0, 0, 40, 40]}], PICTURE))
    assert mean_average_precision(own.certain(target), target) == 0


def test_answers_are_in_pixels_of_their_own_picture() -> None:
    own = codec()
    output = torch.tensor([[[0.5, 0.25, 1.0, 0.5, 0.9, 2.0]], [[0.0, 0.0, 0.0, 0.0, 0.0, -2.0]]])
    decoded = own.at_size(own.decode(output), [(40, 80), None])[""]
    assert decoded[0] == [{"label": "cup", "score": pytest.approx(0.9), "box": [40, 10, 80, 20]}]
    assert decoded[1] is None


def drawn(folder: Path, number: int, chance: np.random.Generator) -> dict[str, object]:
    """A dark picture of any size with a bright square or a red bar in it, and where it is."""
    from PIL import Image

    height, width = (int(side) for side in chance.integers(40, 64, 2))
    pixels = chance.integers(0, 40, (height, width, 3)).astype(np.uint8)
    square = bool(chance.random() < 0.5)
    h, w = (14, 14) if square else (8, 24)
    y, x = int(chance.integers(0, height - h)), int(chance.integers(0, width - w))
    pixels[y : y + h, x : x + w] = (230, 230, 230) if square else (220, 30, 30)
    Image.fromarray(pixels).save(folder / f"{number}.png")
    label = [{"label": "square" if square else "bar", "box": [x, y, x + w, y + h]}]
    return {"photo": f"{number}.png", "things": json.dumps(label)}


def test_the_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    rows = [drawn(tmp_path, number, chance) for number in range(90)]
    rows[3]["things"] = None
    rows[4]["photo"] = None
    experiment = motet.Experiment(
        data={"train": rows, "valid": 0.2, "root": str(tmp_path)},
        inputs={"photo": inputs.Image(size=(48, 48), width=32)},
        tasks={"things": tasks.Detection(stride=4, width=32)},
        training={"epochs": 12, "batch_size": 16, "learning_rate": 3e-3, "patience": None},
    )
    monkeypatch.chdir(tmp_path)
    run = motet.fit(experiment, out=tmp_path / "run")
    assert run.report["things"]["map"].value is not None
    assert run.report["things"]["map"].value > 0.3
    answers = motet.load(tmp_path / "run").predict([{"photo": rows[0]["photo"]}, {"photo": None}], root=tmp_path)
    (truth,) = json.loads(str(rows[0]["things"]))
    best = answers[0]["things"][0]
    assert best["label"] == truth["label"]
    assert overlap(np.array(best["box"]), np.array(truth["box"])) > 0.5
    assert answers[1]["things"] is None


def test_losses_do_not_need_an_object() -> None:
    own = codec()
    head = tasks.Detection(of="photo").build(own, 4, {"photo": source()})
    reading = tasks.Reading(torch.randn(2, 4), {"photo": tokens()})
    target = own.batch([own.read(("[]", PICTURE))] * 2)
    losses = head(reading, Cells(target, torch.ones(2, dtype=torch.bool)))
    assert losses.isfinite().all()
    assert losses[:, 1].tolist() == [0, 0]


def source() -> tasks.Source:
    return tasks.Source(8, Pictures(), maps=((8, 10, 20), (8, 5, 10)))  # type: ignore[arg-type]


def tokens() -> Any:
    from motet.core.flow import Tokens

    maps = (torch.randn(2, 8, 10, 20), torch.randn(2, 8, 5, 10))
    return Tokens(
        torch.randn(2, 50, 8), torch.ones(2, 50, dtype=torch.bool), torch.ones(2, dtype=torch.bool), maps=maps
    )
