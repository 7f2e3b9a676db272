"""Statistics of cepstral coefficients: the formulae written out, another library's transform, and a small run."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct

import motet
from motet.core.errors import CellError, SpecError
from motet.inputs import Audio
from motet.inputs.audio import MFCC, MFCCEncoder
from motet.inputs.audio.mfcc import MFCCPreparation, cepstrum, differences, statistics

DRAWN = np.random.default_rng(0)
SOUNDS = [(DRAWN.normal(scale=0.1, size=size).astype(np.float32), 8000) for size in (1600, 90, 3000, 2500, 810)]


def fitted(**fields: Any) -> tuple[Audio, MFCCPreparation]:
    spec = Audio(encoder=MFCC(coefficients=5), **fields)
    preparation = spec.fit(SOUNDS)
    assert isinstance(preparation, MFCCPreparation)
    return spec, preparation


def test_a_value_by_hand() -> None:
    """Bands 1 and 3: c_0 = 4 / sqrt 2, c_1 = (1 - 3) cos(pi / 4) = -sqrt 2; one frame differs from nothing."""
    found = statistics(np.array([[1.0, 3.0]]), 2)
    frame = [2 * math.sqrt(2), -math.sqrt(2), 0, 0]
    assert found == pytest.approx([*frame, 0, 0, 0, 0, *frame, *frame])


@pytest.mark.parametrize("mels", [1, 2, 13, 40])
def test_coefficients_are_those_of_scipy(mels: int) -> None:
    frames = DRAWN.normal(size=(7, mels)).astype(np.float32)
    expected = dct(frames.astype(np.float64), type=2, norm="ortho", axis=1)
    for kept in {1, mels}:
        np.testing.assert_allclose(cepstrum(frames, kept), expected[:, :kept], rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(0, 99))
def test_differences_are_the_regression_formula(size: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(size, 2))

    def at(frame: int) -> np.ndarray:
        return np.asarray(values[min(max(frame, 0), size - 1)])

    expected = [sum(n * (at(t + n) - at(t - n)) for n in (1, 2)) / (2 * (1 + 4)) for t in range(size)]
    np.testing.assert_allclose(differences(values), np.array(expected), atol=1e-12)


def test_differences_are_the_slope_of_the_line_that_fits_best() -> None:
    values = DRAWN.normal(size=(9, 1))
    slope = np.polyfit(np.arange(5), values[2:7, 0], deg=1)[0]
    assert differences(values)[4, 0] == pytest.approx(slope)


def test_statistics_are_standardised_by_the_training_rows() -> None:
    _, preparation = fitted()
    items = [preparation.read(sound) for sound in SOUNDS]
    found = preparation.batch(items)["statistics"].double()
    raw = np.array([statistics(item, 5) for item in items])
    assert found.shape == (5, 40)
    np.testing.assert_allclose(found, (raw - raw.mean(axis=0)) / raw.std(axis=0), atol=1e-5)
    loud = preparation.batch([1e9 * np.ones_like(items[0])])["statistics"]
    assert loud.abs().max() <= 1e4, "none drowns all others"


def test_a_louder_sound_differs_in_the_first_coefficient_alone() -> None:
    """Log power moves by one number, which a cosine without any wave alone sees."""
    frames = DRAWN.normal(size=(6, 20))
    found = statistics(frames + 3.0, 4) - statistics(frames, 4)
    moved = 3 * math.sqrt(20)
    assert found == pytest.approx([*([moved] + [0] * 7), *([0] * 8), *([moved] + [0] * 7) * 2], abs=1e-9)


def test_the_encoder_is_a_linear_map() -> None:
    spec, preparation = fitted(width=6)
    encoder = spec.build(preparation).eval()
    assert isinstance(encoder, MFCCEncoder)
    values = preparation.batch([preparation.read(sound) for sound in SOUNDS])
    tokens = encoder(values)
    assert tokens.values.shape == (5, 1, 6)
    expected = values["statistics"] @ encoder.project.weight.T + encoder.project.bias
    torch.testing.assert_close(tokens.values[:, 0], expected)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(SpecError, match=r"encoder.coefficients \(41\) are more than the bands \(40\)"):
        Audio(encoder=MFCC(coefficients=41)).fit(SOUNDS)
    with pytest.raises(CellError):
        fitted()[1].read(b"no sound")


def test_a_run(tmp_path: Path) -> None:
    rows = [
        {"call": (np.sin(np.arange(500 + 20 * row) * (0.1, 0.9)[row % 2]).astype(np.float32), 8000), "high": row % 2}
        for row in range(40)
    ]
    run = motet.fit(
        {
            "data": {"train": rows, "valid": 0.2, "test": 0.2},
            "inputs": {"call": {"kind": "audio", "encoder": "mfcc", "shift": 0.1}},
            "tasks": {"high": "binary"},
            "training": {"epochs": 6, "batch_size": 8, "learning_rate": 0.02},
        },
        out=tmp_path / "run",
    )
    asked: list[dict[str, Any]] = [{"call": rows[0]["call"]}, {"call": rows[1]["call"]}, {}]
    answers = run.model.predict(asked)
    assert motet.load(tmp_path / "run").predict(asked) == answers
    assert [answer["high"] for answer in answers[:2]] == [0, 1]
