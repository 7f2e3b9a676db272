"""Speaking: sounds as frames, the error and the loss by loops, ends, sounds made again, and the whole path."""

import csv
import io
import json
import math
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import motet
from motet import media
from motet.artifact import read_bundle
from motet.core.errors import CellError, DataError, MotetError, SpecError
from motet.core.flow import Cells, Tokens
from motet.nn import keys_of, row_keys, salt_dropouts
from motet.serving.write import write_predictions
from motet.tasks import Reading, Source, Synthesis, SynthesisCodec
from motet.tasks.synthesis import SynthesisHead
from motet.testing import suite
from motet.training import Quiet

RATE = 4000
KINDS = {"line": "text", "speaker": "category"}
Sound = tuple[np.ndarray, int]


def tone(hertz: float, seconds: float, *, rate: int = RATE) -> Sound:
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32), rate


def noisy(sound: Sound, seed: int) -> Sound:
    samples, rate = sound
    return (samples + 0.05 * np.random.default_rng(seed).standard_normal(len(samples))).astype(np.float32), rate


SOUNDS = [noisy(tone(300 + 100 * number, 0.2 + 0.05 * number), number) for number in range(6)]


def codec_of(sounds: Sequence[object] = SOUNDS, **fields: Any) -> SynthesisCodec:
    return Synthesis(of=("line",), **{"mels": 12, **fields}).fit(sounds, {})


def target_of(codec: SynthesisCodec, sounds: Sequence[object]) -> Cells:
    values = codec.batch([codec.read(sound) for sound in sounds])
    return Cells(values, torch.ones(len(sounds), dtype=torch.bool))


def built(codec: SynthesisCodec, *, of: Any = None, seed: int = 0, **fields: Any) -> SynthesisHead:
    """A head for features of width 4, a line of width 5 and a speaker of width 3, seeded, in evaluation mode."""
    spec = Synthesis(of=of, **{"width": 8, "heads": 2, "layers": 2, **fields}).reading(KINDS)
    sources = {"line": Source(5, None), "speaker": Source(3, None)}  # type: ignore[arg-type]
    return suite.seeded(lambda: spec.build(codec, 4, {name: sources[name] for name in spec.reads}), seed)


def reading_of(num_rows: int, *, without: Sequence[tuple[str, int]] = ()) -> Reading:
    """Lines of up to four tokens and speakers of one; `without` are pairs of an input and a row that lacks it."""
    chance, tokens = torch.Generator().manual_seed(1), {}
    for name, (longest, width) in {"line": (4, 5), "speaker": (1, 3)}.items():
        present = torch.tensor([(name, row) not in without for row in range(num_rows)])
        counts = torch.where(present, 1 + torch.arange(num_rows) % longest, 1)
        mask = torch.arange(longest) < counts[:, None]
        values = torch.randn(num_rows, longest, width, generator=chance)
        tokens[name] = Tokens(values.masked_fill(~mask[:, :, None], 0.0), mask, present)
    return Reading(torch.randn(num_rows, 4, generator=chance), tokens)


# --- sounds as frames


def test_a_label_is_its_standardised_log_mel_frames_with_a_one_behind_each() -> None:
    codec = codec_of()
    item = codec.read(SOUNDS[2])
    frames = media.log_mel(SOUNDS[2][0], rate=RATE, window=100, hop=40, mels=12)
    assert item.shape == (len(frames), 13)
    for t in range(len(frames)):
        for band in range(12):
            expected = (frames[t, band] - codec.mean[band]) / codec.deviation[band]
            assert item[t, band] == pytest.approx(expected, abs=1e-4)
    assert (item[:, 12] == 1).all()


def test_labels_are_padded_with_zeros_behind_their_end() -> None:
    codec = codec_of()
    target = target_of(codec, [SOUNDS[0], SOUNDS[4]]).values["target"]
    length = len(codec.read(SOUNDS[0]))
    assert target.shape == (2, len(codec.read(SOUNDS[4])), 13)
    assert (target[0, length:] == 0).all()
    assert target[0, :length, -1].tolist() == [1.0] * length


def test_sounds_of_any_rate_are_brought_to_one_and_cut_off() -> None:
    codec = codec_of(seconds=0.3)
    assert codec.rate == RATE
    quick = codec.read(tone(500, 0.3, rate=8000))
    assert quick.shape == (codec.longest, 13)
    np.testing.assert_allclose(quick[2:-2, 3:8], codec.read(tone(500, 0.3))[2:-2, 3:8], atol=0.3)
    assert np.array_equal(codec.read(tone(500, 9.0)), codec.read(tone(500, 0.3)))
    assert codec.read(tone(500, 0.001)).shape == (1, 13)


@pytest.mark.parametrize("seconds", [0.01, 0.025, 0.0649, 0.065, 1.23])
def test_the_longest_has_as_many_frames_as_a_sound_of_that_length(seconds: float) -> None:
    codec = codec_of(seconds=seconds)
    assert len(codec.read(tone(500, 3.0))) == codec.longest


def test_what_is_left_open_is_found_in_the_training_sounds() -> None:
    sounds = [tone(300, 0.1 * (1 + number % 5)) for number in range(299)] + [tone(300, 4.0)]
    codec = Synthesis(of=("line",)).fit(sounds, {})
    lengths = [len(sounds[round(place)][0]) for place in np.floor(np.linspace(0, 299, 256))]
    assert (codec.rate, codec.mels) == (RATE, 40)
    assert codec.seconds == pytest.approx(np.quantile(lengths, 0.99) / RATE)
    high = Synthesis(of=("line",)).fit([tone(300, 0.2, rate=44_100), tone(300, 99.0, rate=48_000)], {})
    assert (high.rate, high.mels, high.seconds) == (16_000, 64, 10.0)


def test_each_band_is_standardised_over_the_training_frames() -> None:
    codec = codec_of([*SOUNDS, "not a sound"], seconds=9.0)
    frames = np.concatenate([codec.read(sound) for sound in SOUNDS])[:, :-1]
    np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-3)
    silence = codec_of([(np.zeros(800), RATE)])
    assert set(silence.deviation) == {0.1}


def test_what_is_no_sound_is_refused() -> None:
    with pytest.raises(CellError):
        codec_of().read(b"no sound")
    with pytest.raises(DataError, match="no training row has a sound that can be read"):
        codec_of([b"no sound"])


# --- how far off

ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(0, 2**31))
def test_the_error_is_over_the_frames_of_the_truth(lengths: list[tuple[int, int]], seed: int) -> None:
    chance = np.random.default_rng(seed)
    said, true = (
        [np.c_[chance.standard_normal((pair[which], 12)), np.ones(pair[which])] for pair in lengths] for which in (0, 1)
    )
    codec = codec_of()
    total, count = 0.0, 0
    for one, other in zip(said, true, strict=True):
        for t in range(len(other)):
            for band in range(12):
                total += (other[t, band] - (one[t, band] if t < len(one) else 0.0)) ** 2
                count += 1
    output, target = (codec.batch(rows)["target"] for rows in (said, true))  # type: ignore[arg-type]
    (mse,) = codec.metrics()
    found = mse.compute(output, target)
    assert not mse.higher_is_better
    assert math.isnan(found) if not count else found == pytest.approx(total / count, rel=1e-4)


def test_the_trivial_answer_is_the_mean_frame_and_scores_one() -> None:
    codec = codec_of(seconds=9.0)
    target = target_of(codec, SOUNDS).values["target"]
    lengths = (target[:, :, -1] > 0).sum(dim=1)
    prior = codec.prior(target)
    assert prior[-1].item() == pytest.approx(lengths.double().mean().item())
    every = torch.cat([row[:length, :-1] for row, length in zip(target, lengths.tolist(), strict=True)])
    torch.testing.assert_close(prior[:-1], every.mean(dim=0), atol=1e-5, rtol=1e-4)
    trivial = codec.trivial(prior, target)
    assert trivial.shape == (6, round(prior[-1].item()), 13)
    assert codec.metrics()[0].compute(trivial, target) == pytest.approx(1.0, abs=1e-3)
    assert codec.metrics()[0].compute(codec.certain(target), target) == 0


def test_the_loss_by_loops() -> None:
    codec = codec_of()
    target = target_of(codec, [SOUNDS[3], SOUNDS[0]])
    said = torch.randn(2, codec.longest, 13, generator=torch.Generator().manual_seed(0)).double()
    found = Synthesis().loss(said, target)
    for row, sound in enumerate((SOUNDS[3], SOUNDS[0])):
        item, y = codec.read(sound), said[row].numpy()
        frames = [
            np.mean([abs(y[t, band] - item[t, band]) + (y[t, band] - item[t, band]) ** 2 for band in range(12)])
            for t in range(len(item))
        ]
        ends = [math.log1p(math.exp(-y[t, 12] if t < len(item) else y[t, 12])) for t in range(codec.longest)]
        assert found[row].item() == pytest.approx(np.mean(frames) + np.mean(ends), rel=1e-4)


def test_the_loss_of_what_was_said_well_is_near_zero() -> None:
    codec = codec_of()
    target = target_of(codec, SOUNDS)
    said = torch.zeros(6, codec.longest, 13)
    said[:, : target.values["target"].shape[1]] = target.values["target"]
    said[:, :, -1] = 40 * said[:, :, -1] - 20
    assert Synthesis().loss(said, target).max() < 1e-6


# --- speaking


def test_as_many_frames_are_said_as_are_likelier_to_sound_than_not() -> None:
    head = built(codec_of(seconds=0.3), step=1)
    said = torch.randn(4, head.longest, 13)
    said[:, :, -1] = 1.0
    said[0, 4:, -1] = said[1, :, -1] = said[2, 5, -1] = -0.1
    head.said = lambda reading: said  # type: ignore[method-assign]
    output = head.answer(reading_of(4))
    assert (output[:, :, -1] > 0).sum(dim=1).tolist() == [4, 1, head.longest - 1, head.longest]
    assert torch.equal(output[0, :4, :-1], said[0, :4, :-1])
    assert (output[0, 4:] == 0).all()


def test_answers_are_as_long_as_the_longest_of_them() -> None:
    head = built(codec_of(seconds=0.3), step=1)
    with torch.no_grad():
        head.frames.weight.zero_()
        head.frames.bias.fill_(-1.0)
    assert head.answer(reading_of(2)).tolist() == [[[-1.0] * 12 + [1.0]]] * 2


@pytest.mark.parametrize("step", [1, 3, 4, 99])
def test_there_are_as_many_frames_as_the_longest_sound_has(step: int) -> None:
    codec = codec_of()
    head = built(codec, step=step)
    assert head.said(reading_of(2)).shape == (2, codec.longest, 13)
    assert len(head.places) == -(-codec.longest // step)


def test_an_untrained_head_starts_from_the_mean_frame_and_length() -> None:
    codec = codec_of()
    head, prior = built(codec), codec.prior(target_of(codec, SOUNDS).values["target"])
    head.start_from(prior)
    torch.nn.init.zeros_(head.frames.weight)
    said = head.said(reading_of(2))
    torch.testing.assert_close(said[:, :, :-1], prior[:-1].expand(2, codec.longest, -1))
    assert said[0, :, -1].sigmoid().tolist() == pytest.approx([prior[-1].item() / codec.longest] * codec.longest)


def test_a_tone_is_made_again_at_its_pitch() -> None:
    codec = codec_of()
    target = target_of(codec, SOUNDS[:3]).values["target"]
    for (samples, _), answer in zip(SOUNDS[:3], codec.decode(codec.certain(target))[""], strict=True):
        again, rate = soundfile.read(io.BytesIO(answer))
        assert rate == RATE
        assert abs(len(again) - len(samples)) <= 40
        found, expected = (np.abs(np.fft.rfft(one, 8 * RATE)).argmax() / 8 for one in (again, samples))
        assert found == pytest.approx(expected, abs=40)
        said = codec.batch([codec.read(answer)])["target"]
        assert codec.metrics()[0].compute(said, codec.batch([codec.read((samples, RATE))])["target"]) < 0.3


def test_without_any_input_nothing_is_said_and_nothing_answered() -> None:
    codec = codec_of()
    output = built(codec).answer(reading_of(3, without=[("line", 0), ("line", 1), ("speaker", 1)]))
    assert [one is None for one in codec.decode(output)[""]] == [False, True, False]
    assert not output[1].any()
    nobody = [(name, row) for name in KINDS for row in range(2)]
    assert codec.decode(built(codec).answer(reading_of(2, without=nobody)))[""] == [None, None]
    present = {name: one.present for name, one in reading_of(2, without=[("line", 0), *nobody[1::2]]).tokens.items()}
    assert Synthesis().reading(KINDS).known(present).tolist() == [True, False]


# --- reading


def test_every_input_the_features_and_the_place_are_heard() -> None:
    codec = codec_of()
    head, reading = built(codec), reading_of(3)
    before = head.said(reading)
    assert not torch.allclose(before[:, 0], before[:, -1])
    changed = [Reading(reading.features + 1, reading.tokens)]
    for name, one in reading.tokens.items():
        other = Tokens(one.values + one.mask[:, :, None], one.mask, one.present)
        changed.append(Reading(reading.features, {**reading.tokens, name: other}))
    for one in changed:
        assert not torch.allclose(head.said(one), before)


def test_what_stands_for_an_absent_input_is_not_read() -> None:
    head, reading = built(codec_of()), reading_of(3, without=[("line", 0), ("speaker", 2)])
    poisoned = {}
    for name, one in reading.tokens.items():
        there = (one.mask & one.present[:, None])[:, :, None]
        poisoned[name] = Tokens(torch.where(there, one.values, torch.nan), one.mask, one.present)
    suite.assert_same_bits(head.said(Reading(reading.features, poisoned)), head.said(reading), "what is said")


def test_dropout_follows_the_row() -> None:
    head, reading = built(codec_of(), dropout=0.5).train(), reading_of(5)
    salt_dropouts(head, 0)
    keys = keys_of(torch.arange(5), 0)
    with row_keys(keys):
        together = head.said(reading)
    one = torch.tensor([3])
    with row_keys(keys[one]):
        torch.testing.assert_close(head.said(reading.rows(one))[0], together[3], atol=1e-5, rtol=1e-4)
    with row_keys(keys + 1):
        assert not torch.allclose(head.said(reading), together)


def test_only_the_inputs_that_are_named_are_read() -> None:
    assert Synthesis().reading(KINDS).reads == ("line", "speaker")
    assert Synthesis(of=("speaker", "line")).reading(KINDS).reads == ("line", "speaker")
    assert list(built(codec_of(), of=("line",)).tokens) == ["line"]
    with pytest.raises(SpecError, match="there is no input 'lines'; did you mean 'line'"):
        Synthesis(of=("lines",)).reading(KINDS)
    with pytest.raises(ValidationError, match="the 4 heads of the blocks must divide their width 6"):
        Synthesis(width=6)


# --- the whole path

PITCH = {"low": 400, "high": 1200}


class StopsAt(Quiet):
    """Interrupts after this step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        if step == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of words and who says them, high or low, long or short; some rows lack something."""
    folder = tmp_path_factory.mktemp("calls")
    chance, rows = np.random.default_rng(0), []
    for number in range(64):
        word, speaker = ["low", "high"][number % 2], ["long", "short"][number // 2 % 2]
        samples, _ = tone(PITCH[word], {"long": 0.4, "short": 0.2}[speaker] + chance.uniform(0, 0.02))
        soundfile.write(folder / f"{number}.wav", samples, RATE)
        split = "train" if number < 44 else ["valid", "test"][number // 4 % 2]
        rows.append({"word": word, "speaker": speaker, "voice": f"{number}.wav", "split": split})
    rows[3]["voice"] = rows[4]["word"] = rows[5]["speaker"] = ""
    with open(folder / "calls.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def experiment(folder: Path, *, epochs: int) -> motet.Experiment:
    return motet.Experiment(
        data={"train": str(folder / "calls.csv"), "split": "split"},
        inputs={
            "word": {"kind": "text", "width": 16, "vocabulary": 280, "word_dropout": 0.0},
            "speaker": {"kind": "category", "width": 8},
        },
        tasks={"voice": Synthesis(width=32, layers=1, heads=2, mels=16, dropout=0.0)},
        training={
            "epochs": epochs,
            "batch_size": 8,
            "learning_rate": 5e-3,
            "patience": None,
            "average": 0.0,
            "workers": 0,
        },
    )


@pytest.fixture(scope="module")
def run(calls: Path) -> Any:
    return motet.fit(experiment(calls, epochs=18), out=calls / "run")


def pitch_of(sound: bytes) -> float:
    samples, rate = soundfile.read(io.BytesIO(sound))
    return float(np.abs(np.fft.rfft(samples, 8 * rate)).argmax() / 8)


def test_words_are_said_at_their_pitch_and_length(run: Any) -> None:
    assert list(run.report["voice"]) == ["mse"]
    assert run.report["voice"]["mse"].value < 0.1
    rows = [{"word": word, "speaker": speaker} for word in PITCH for speaker in ("long", "short")]
    answers = motet.load(run.folder).predict([*rows, {"word": None, "speaker": None}])
    for row, answer in zip(rows, answers, strict=False):
        assert pitch_of(answer["voice"]) == pytest.approx(PITCH[row["word"]], abs=100)
        length = soundfile.info(io.BytesIO(answer["voice"])).duration
        assert length == pytest.approx({"long": 0.4, "short": 0.2}[row["speaker"]], abs=0.06)
    assert answers[4]["voice"] is None


def test_answers_are_written_to_files(run: Any, calls: Path, tmp_path: Path) -> None:
    predictor = motet.load(run.folder)
    few = (calls / "calls.csv").read_text().splitlines()[:7]
    (tmp_path / "few.csv").write_text("\n".join(few))
    for suffix in ("csv", "jsonl"):
        write_predictions(predictor, tmp_path / "few.csv", tmp_path / f"answers.{suffix}")
    with open(tmp_path / "answers.csv") as file:
        written = [row["voice"] for row in csv.DictReader(file)]
    lines = [json.loads(line)["voice"] for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(written) == 6
    assert written == lines
    held = media.uri_bytes(lines[0])
    assert held is not None
    assert pitch_of(held) == pytest.approx(PITCH["low"], abs=100)


def test_it_is_evaluated_on_another_table(run: Any, calls: Path) -> None:
    report = motet.evaluate(motet.load(run.folder), calls / "calls.csv")
    assert report["voice"]["mse"].value < 0.1


def test_stopped_and_resumed_is_never_stopped(calls: Path, tmp_path: Path) -> None:
    whole = motet.fit(experiment(calls, epochs=2), out=tmp_path / "whole")
    with pytest.raises(MotetError, match="stopped after step 7"):
        motet.fit(experiment(calls, epochs=2), out=tmp_path / "stopped", progress=StopsAt(7))
    again = motet.fit(experiment(calls, epochs=2), out=tmp_path / "stopped", resume=True)
    one, other = (read_bundle(found.folder / "bundle").weights for found in (whole, again))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
