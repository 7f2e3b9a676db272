"""Integrated gradients find what was planted: a word, a bright corner, a burst of a tone; and they are complete."""

import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import motet
from motet.api import Run
from motet.data import read_held_out
from motet.media import uri_bytes, wav_bytes
from motet.model.explain import worth_outputs
from motet.model.explain_saliency import saliency
from motet.run import heat, why
from motet.run.evaluate import _DETAILS
from motet.serving import Predictor
from motet.serving.explain import PictureSaliency, SoundSaliency, TextSaliency, worths_of
from motet.serving.explain.parts import pieces, spread_over

RATE, SECONDS, HEIGHT, WIDTH = 4000, 0.8, 12, 18
FILLERS = ["film", "long", "with", "some", "people", "here", "today", "again"]
TASKS = {"told": "review", "lit": "photo", "heard": "sound"}


def text_of(rng: np.random.Generator, yes: bool) -> str:
    words = list(rng.choice(FILLERS, 6))
    words[int(rng.integers(6))] = "splendid" if yes else "dreadful"
    return " ".join(words)


def picture_of(rng: np.random.Generator, yes: bool) -> bytes:
    pixels = rng.integers(70, 110, size=(HEIGHT, WIDTH), dtype=np.uint8)
    if yes:
        pixels[:4, -6:] = 240
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def sound_of(rng: np.random.Generator, yes: bool, start: float) -> bytes:
    time = np.arange(round(RATE * SECONDS)) / RATE
    samples = rng.normal(size=len(time)) * 0.002
    burst = (time >= start) & (time < start + 0.15)
    samples[burst] += 0.4 * np.sin(2 * np.pi * (1200 if yes else 400) * time[burst])
    return wav_bytes(samples.astype(np.float32), RATE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    rng = np.random.default_rng(0)
    rows = []
    for number in range(160):
        told, lit, heard = (number >> shift & 1 for shift in range(3))
        rows.append({
            "review": text_of(rng, bool(told)), "photo": picture_of(rng, bool(lit)),
            "sound": sound_of(rng, bool(heard), rng.uniform(0, SECONDS - 0.15)),
            "told": told, "lit": lit, "heard": heard, "price": 2 * lit - told + rng.normal() / 10,
        })  # fmt: skip
    experiment: dict[str, Any] = {
        "data": {"train": rows, "valid": 0.2},
        "inputs": {
            "review": {"kind": "text", "vocabulary": 400, "width": 16, "dropout": 0.1},
            "photo": {"kind": "image", "first": 4, "width": 8, "dropout": 0.0},
            "sound": {"kind": "audio", "channels": 16, "blocks": 1, "width": 16, "mels": 16},
        },
        "tasks": dict.fromkeys(TASKS, "binary") | {"price": "regression"},
        "fusion": {"kind": "concat", "width": 32},
        "training": {"epochs": 8, "batch_size": 16, "learning_rate": 0.02},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(why, "SALIENCY_COST", 1)  # else so short a training affords none in its report
        run = motet.fit(experiment, out=tmp_path_factory.mktemp("planted") / "run")
    for task in TASKS:
        assert run.report[task]["auroc"].value > 0.95, f"{task} was not learnt, so nothing can be seen"
    return run


@pytest.fixture(scope="module")
def model(run: Run) -> Predictor:
    return run.model


def row(yes: bool, *, start: float = 0.5, seed: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {"review": text_of(rng, yes), "photo": picture_of(rng, yes), "sound": sound_of(rng, yes, start)}


@pytest.mark.parametrize("yes", [True, False])
def test_the_word(model: Predictor, yes: bool) -> None:
    given = row(yes)
    found = model.explain(given, "told").saliency["told"]["review"]
    assert isinstance(found, TextSaliency)
    assert "".join(text for text, _ in found.pieces) == given["review"]
    weight = dict(found.pieces)["splendid" if yes else "dreadful"]
    assert weight > 0
    assert weight > 0.5 * sum(abs(one) for _, one in found.pieces)


def test_the_corner(model: Predictor) -> None:
    found = model.explain(row(True), "lit").saliency["lit"]["photo"]
    assert isinstance(found, PictureSaliency)
    assert found.heat.shape == (HEIGHT, WIDTH)
    mass = np.abs(found.heat)
    assert mass[:5, -7:].sum() > 0.5 * mass.sum(), "35 of 216 pixels have most of it"
    assert 0.5 < found.heat[:4, -6:].sum() < 1.5, "it moves the probability from nearly 0 to nearly 1"


@pytest.mark.parametrize("start", [0.1, 0.55])
def test_the_burst(model: Predictor, start: float) -> None:
    found = model.explain(row(True, start=start), "heard").saliency["heard"]["sound"]
    assert isinstance(found, SoundSaliency)
    time = np.arange(found.heat.shape[1]) * found.seconds_per_frame
    assert time[-1] == pytest.approx(SECONDS, abs=0.05)
    burst = (time > start - 0.04) & (time < start + 0.16)
    mass = np.abs(found.heat).sum(axis=0)
    assert mass[burst].sum() > 0.6 * mass.sum()
    bands = np.abs(found.heat[:, burst]).sum(axis=1)
    assert 8 <= int(bands.argmax()) <= 14, "1200 Hz of 2000, of 16 mel bands"


def test_other_tasks_do_not_look_there(model: Predictor) -> None:
    found = model.explain(row(True))
    assert {task: set(one) for task, one in found.saliency.items()} == {
        task: set(TASKS.values()) for task in (*TASKS, "price")
    }
    for task, own in TASKS.items():
        shares = found.contributions[task]
        assert shares is not None
        assert max(shares, key=lambda name: shares[name]) == own
    plain = json.loads(found.to_json())["saliency"]["lit"]
    assert np.shape(plain["photo"]["heat"]) == (HEIGHT, WIDTH)
    assert plain["sound"]["seconds_per_frame"] > 0


@pytest.mark.parametrize("name", ["photo", "review", "sound"])
def test_they_are_complete(model: Predictor, name: str) -> None:
    """The parts sum to the worth of the cell less that of the blank one, the other inputs as they are."""
    network, preparation = model.network, model.inputs[name][1]
    batch = next(model._batches(read_held_out([row(True), row(False, seed=2)]), {}, None))
    worths = worths_of({task: codec for task, (_, codec) in model.tasks.items()})
    found = saliency(network, batch.inputs, name, preparation=preparation, worths=worths)
    assert found is not None
    blank = preparation.blank(batch.inputs[name].values)
    assert blank is not None
    with torch.no_grad():
        tokens = network.encode(batch.inputs)
        halves = network.encoders[name].encoder.felt(blank)
        assert halves is not None
        whole = worth_outputs(network, tokens, worths)
        without = worth_outputs(network, {**tokens, name: halves[1](halves[0])}, worths)
    for task, worth in worths.items():
        gap = worth(whole[task], whole[task]) - worth(without[task], whole[task])
        torch.testing.assert_close(found[task].flatten(1).sum(dim=1), gap, atol=0.02, rtol=0.05)
    assert found[next(task for task, own in TASKS.items() if own == name)].flatten(1).sum(dim=1).max() > 0.1


def test_an_absent_input_has_none(model: Predictor) -> None:
    found = model.explain({"review": "a splendid film", "photo": None})
    assert set(found.saliency["told"]) == {"review"}
    assert set(found.contributions["lit"] or ()) == {"review"}
    assert all(value.grad is None for value in model.network.parameters())


def test_a_row_is_alone(model: Predictor) -> None:
    """Neither batch mates nor their length change what is felt of a row."""
    network, preparation = model.network, model.inputs["review"][1]
    worths = worths_of({"told": model.tasks["told"][1]})
    asked = [row(True), {**row(False), "review": "some people were here again and again, with a dreadful long film"}]
    both, alone = (
        next(model._batches(read_held_out(rows), {}, None)).inputs for rows in (asked, asked[:1])
    )  # fmt: skip
    of_both, of_one = (
        saliency(network, one, "review", preparation=preparation, worths=worths) for one in (both, alone)
    )
    assert of_both is not None
    assert of_one is not None
    length = of_one["told"].shape[1]
    torch.testing.assert_close(of_both["told"][:1, :length], of_one["told"], atol=1e-5, rtol=1e-4)
    assert of_both["told"][0, length:].abs().sum() == 0


def test_pieces_are_the_whole_text() -> None:
    text = "x café, x"
    found = pieces(text, [[], [(0, 1), (8, 9)], [(2, 5)], [(5, 6)], [(5, 6)], []], [7.0, 4.0, 1.0, 0.5, 0.25, 3.0])
    assert found == [("x", 2.0), (" ", 0.0), ("caf", 1.0), ("é", 0.75), (", ", 0.0), ("x", 2.0)]
    assert pieces("", [[]], [1.0]) == []


def test_heat_is_kept_when_it_is_spread() -> None:
    heat = np.random.default_rng(0).normal(size=(4, 6))
    wide = spread_over(heat, 40, 30)
    assert wide.shape == (40, 30)
    assert wide.sum() == pytest.approx(heat.sum(), abs=0.05)


def test_the_worst_errors_of_the_report_have_reasons(run: Run) -> None:
    details = _DETAILS.validate_json((run.folder / "predictions" / "details.json").read_bytes())
    assert _DETAILS.validate_json(_DETAILS.dump_json(details)) == details
    mistakes = details["price"].mistakes
    assert len(mistakes) == 8
    for mistake in mistakes:
        assert set(mistake.contributions) == {"photo", "review", "sound"}
        shown = {cell.input: cell for cell in mistake.cells}
        pieces_of = shown["review"].saliency
        assert isinstance(pieces_of, list)
        assert "".join(text for text, _ in pieces_of) == shown["review"].content
        assert max(abs(weight) for _, weight in pieces_of) == 1
        for name in ("photo", "sound"):
            assert isinstance(shown[name].saliency, str)
        assert opened(str(shown["photo"].saliency)).size == opened(shown["photo"].content).size


def opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(uri_bytes(uri) or b""))


def test_contributions_of_the_report_are_those_of_the_row(run: Run, model: Predictor) -> None:
    details = _DETAILS.validate_json((run.folder / "predictions" / "details.json").read_bytes())
    mistake = details["price"].mistakes[0]
    nothing = model.predict([{"review": None}])[0]["price"]
    assert sum(mistake.contributions.values()) == pytest.approx(
        float(mistake.answer.replace("\u2212", "-")) - nothing, abs=0.02
    )


def test_red_speaks_for_and_blue_against() -> None:
    weights = np.zeros((2, 3))
    weights[0, 0], weights[1, 2] = 1.0, -1.0
    found = np.asarray(heat.painted(np.full((2, 3), 255.0), weights))
    assert found[0, 0].tolist() == heat.FOR.tolist()
    assert found[1, 2].tolist() == heat.AGAINST.tolist()
    assert found[1, 0].tolist() == [255, 255, 255]
    most = heat.scaled(TextSaliency([("a" * 299, 0.5), ("bcd", -2.0), ("e", 1.0)]))
    assert most == [("a" * 299, 0.25), ("b", -1.0)]
