"""Writing down what is said: symbols, error rates by a recursion, CTC by hand, absent sounds, and the whole path."""

import csv
import itertools
import json
import math
import signal
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import motet
from motet.artifact import read_bundle
from motet.core.errors import CellError, DataError, MotetError, SpecError
from motet.core.flow import Cells, Tokens
from motet.serving.write import write_predictions
from motet.tasks import Reading, Source, Transcription, TranscriptionCodec
from motet.tasks.transcription import TranscriptionHead
from motet.tasks.transcription.codec import ABSENT, PADDING, UNKNOWN
from motet.testing import suite
from motet.training import Quiet

TEXTS = ["on it", "no", "tin on", "not"]


def codec_of(texts: Sequence[object] = TEXTS, **fields: Any) -> TranscriptionCodec:
    return Transcription(of="speech", **fields).fit(texts, {})


def target_of(codec: TranscriptionCodec, texts: Sequence[object]) -> Cells:
    values = codec.batch([codec.read(text) for text in texts])
    return Cells(values, torch.ones(len(texts), dtype=torch.bool))


def built(codec: TranscriptionCodec, *, seed: int = 0, **fields: Any) -> TranscriptionHead:
    """A head for features of width 4 and tokens of width 5, seeded, in evaluation mode."""
    spec = Transcription(of="speech", **{"width": 6, **fields})
    sources = {"speech": Source(5, None)}  # type: ignore[arg-type]
    return suite.seeded(lambda: spec.build(codec, 4, sources), seed)


def reading_of(lengths: Sequence[int], *, absent: Sequence[int] = ()) -> Reading:
    """Sounds of so many tokens; an absent one has its stand-in at the first place."""
    chance = torch.Generator().manual_seed(1)
    present = torch.tensor([row not in absent for row in range(len(lengths))])
    counts = torch.where(present, torch.tensor(lengths), 1)
    mask = torch.arange(max(lengths)) < counts[:, None]
    values = torch.randn(len(lengths), max(lengths), 5, generator=chance)
    speech = Tokens(torch.where(mask[:, :, None], values, 0.0), mask, present)
    return Reading(torch.randn(len(lengths), 4, generator=chance), {"speech": speech})


def with_speech(reading: Reading, values: torch.Tensor) -> Reading:
    speech = reading.tokens["speech"]
    return Reading(reading.features, {"speech": Tokens(values, speech.mask, speech.present)})


# --- texts as symbols


def test_symbols_are_the_characters_of_the_training_rows_in_order() -> None:
    codec = codec_of()
    assert codec.symbols == (" ", "i", "n", "o", "t")
    assert codec.read("  on   it\n").tolist() == [4, 3, 1, 2, 5]
    assert codec.batch([codec.read("no"), codec.read("not")])["target"].tolist() == [[3, 4, -1], [3, 4, 5]]


def test_words_are_symbols_too() -> None:
    codec = codec_of(["two  one", "one", 7.0], unit="word")
    assert codec.symbols == ("7", "one", "two")
    target = target_of(codec, ["one two", "7", "two three"]).values["target"]
    assert target.tolist() == [[2, 3], [1, -1], [3, 8]]
    assert codec.decode(target)[""] == ["one two", "7", f"two {UNKNOWN * 5}"]


def test_an_unknown_word_is_wrong_in_each_of_its_characters() -> None:
    codec = codec_of(["a"], unit="word")
    target = target_of(codec, ["extraordinary a"]).values["target"]
    scores = {metric.name: metric.compute(torch.tensor([[1]]), target) for metric in codec.metrics()}
    assert scores["cer"] == pytest.approx(14 / 15)
    assert scores["wer"] == pytest.approx(1 / 2)


def test_case_is_kept_unless_told_otherwise() -> None:
    assert codec_of(["On", "no"]).symbols == ("O", "n", "o")
    codec = codec_of(["On", "no"], lowercase=True)
    assert codec.symbols == ("n", "o")
    assert codec.decode(target_of(codec, ["NO  on"]).values["target"])[""] == [f"no{UNKNOWN}on"]


def test_a_symbol_nobody_trained_on_is_read_and_counts_as_a_miss() -> None:
    codec = codec_of()
    target = target_of(codec, ["on x", "xx"]).values["target"]
    assert target.tolist() == [[4, 3, 1, 6], [6, 6, -1, -1]]
    assert not codec.knows("on x")
    assert codec.knows("on")
    said = target_of(codec, ["on i", "no"]).values["target"]
    cer = codec.metrics()[0]
    assert cer.compute(said, target) == pytest.approx((1 + 2) / 6)
    assert cer.compute(codec.certain(target), target) == 0


def test_spaces_are_single_in_answers_as_in_labels() -> None:
    codec = codec_of()
    said = torch.tensor([[1, 4, 3, 1, 1, 2, 5, 1, PADDING]])
    assert codec.decode(said)[""] == ["on it"]
    target = target_of(codec, ["on it"]).values["target"]
    assert [metric.compute(said, target) for metric in codec.metrics()] == [0.0, 0.0]


def test_an_empty_label_says_that_nothing_is_said() -> None:
    codec = codec_of()
    target = target_of(codec, ["", "  ", "no"]).values["target"]
    assert target.tolist() == [[-1, -1], [-1, -1], [3, 4]]
    assert codec.decode(target)[""] == ["", "", "no"]
    cer, _ = codec.metrics()
    assert cer.compute(torch.tensor([[2, -1], [-1, -1], [3, 4]]), target) == pytest.approx(1 / 2)
    assert math.isnan(cer.compute(target[:2], target[:2]))


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(CellError, match="a label is text"):
        codec_of().read(["no"])
    with pytest.raises(DataError, match="no training row has a text"):
        codec_of(["", "  ", ["no"]])
    with pytest.raises(SpecError, match="reads an input of kind audio, and there is none"):
        Transcription().reading({"note": "text"})


# --- error rates


def distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Edits, as the definition has them."""

    @cache
    def of(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        return min(of(i - 1, j) + 1, of(i, j - 1) + 1, of(i - 1, j - 1) + (first[i - 1] != second[j - 1]))

    return of(len(first), len(second))


SAID = st.lists(st.text("ab c", max_size=7), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_rates_are_those_of_a_recursion(data: st.DataObject) -> None:
    codec = codec_of(["a b c"])
    truth = data.draw(SAID)
    said = data.draw(st.lists(st.text("ab c", max_size=7), min_size=len(truth), max_size=len(truth)))
    truth, said = [" ".join(one.split()) for one in truth], [" ".join(one.split()) for one in said]
    output, target = (target_of(codec, texts).values["target"] for texts in (said, truth))
    for metric, parts in zip(codec.metrics(), (list, str.split), strict=True):
        edits = sum(distance(parts(one), parts(other)) for one, other in zip(said, truth, strict=True))  # type: ignore[operator]
        length = sum(len(parts(one)) for one in truth)  # type: ignore[operator]
        found = metric.compute(output, target)
        assert math.isnan(found) if not length else found == pytest.approx(edits / length)


# --- learning


def by_hand(log_probability: np.ndarray, label: Sequence[int]) -> float:
    """-log of the sum over every path of ids whose runs, without blanks, are the label; by its length."""
    frames, ids = log_probability.shape
    total = 0.0
    for path in itertools.product(range(ids), repeat=frames):
        runs = [one for one, _ in itertools.groupby(path)]
        if [one for one in runs if one] == list(label):
            total += math.exp(sum(log_probability[t, one] for t, one in enumerate(path)))
    return -math.log(total) / max(1, len(label))


def test_the_loss_is_the_sum_over_all_paths() -> None:
    codec = codec_of(["aab"])
    head, reading, texts = built(codec), reading_of([4, 3, 4]), ["aab", "ba", ""]
    target = target_of(codec, texts)
    found = Transcription().loss(head(reading, target), target)
    logits, _ = head._logits(reading)
    for row, text in enumerate(texts):
        frames = int(reading.tokens["speech"].mask[row].sum())
        log_probability = logits[row, :frames].log_softmax(dim=1).detach().double().numpy()
        assert found[row].item() == pytest.approx(by_hand(log_probability, codec.read(text).tolist()), rel=1e-4)


def test_a_label_that_can_not_be_written_costs_nothing_and_its_neighbours_as_ever() -> None:
    """Three tokens have no room for "aab", whose twins need a blank between them; and "x" is no symbol."""
    codec = codec_of(["aab"])
    head, reading = built(codec), reading_of([3, 3, 3])
    target = target_of(codec, ["aab", "ab", "axb"])
    losses = head(reading, target)
    assert losses[[0, 2]].tolist() == [0.0, 0.0]
    assert losses[1] > 0
    one = torch.tensor([1])
    alone = torch.autograd.grad(head(reading.rows(one), target.rows(one)).sum(), head.parameters())
    for found, expected in zip(torch.autograd.grad(losses.sum(), head.parameters()), alone, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_an_untrained_head_starts_from_how_often_symbols_occur() -> None:
    codec = codec_of(["aaab", "", "a"])
    prior = codec.prior(target_of(codec, ["aaab", "", "a", "x"]).values["target"])
    assert prior.exp().tolist() == pytest.approx([4.5 / 6, 1.5 / 6])
    head = built(codec)
    head.start_from(prior)
    torch.nn.init.zeros_(head.symbols.weight)
    probability = head._logits(reading_of([2]))[0].softmax(dim=2)[0, 0]
    assert probability.tolist() == pytest.approx([0.5, 0.375, 0.125])


def test_the_trivial_answer_is_wrong_once_per_symbol() -> None:
    codec = codec_of()
    target = target_of(codec, TEXTS).values["target"]
    trivial = codec.trivial(codec.prior(target), target)
    assert [metric.compute(trivial, target) for metric in codec.metrics()] == [1.0, 1.0]


# --- listening


def test_the_features_of_other_inputs_are_heard() -> None:
    codec = codec_of()
    head, reading, target = built(codec), reading_of([8, 9]), target_of(codec, ["no", "on"])
    other = Reading(reading.features + 1, reading.tokens)
    assert not torch.allclose(head(other, target), head(reading, target))
    louder = with_speech(reading, reading.tokens["speech"].values * 2)
    assert not torch.allclose(head(louder, target), head(reading, target))


def test_without_a_sound_there_is_no_answer_and_it_counts_as_a_miss() -> None:
    codec = codec_of()
    head = built(codec)
    output = head.answer(reading_of([8, 9, 7], absent=[1]))
    assert output[1].tolist() == [ABSENT] + [PADDING] * (output.shape[1] - 1)
    assert [one is None for one in codec.decode(output)[""]] == [False, True, False]
    said = torch.cat([output[1:2], output.new_full((1, output.shape[1]), PADDING)])
    assert codec.metrics()[0].compute(said, target_of(codec, ["no", "not"]).values["target"]) == 1.0


def test_what_stands_for_an_absent_sound_or_behind_one_is_not_heard() -> None:
    codec = codec_of()
    head, reading = built(codec), reading_of([8, 3, 7], absent=[0])
    speech = reading.tokens["speech"]
    heard = (speech.mask & speech.present[:, None])[:, :, None]
    poisoned = with_speech(reading, torch.where(heard, speech.values, torch.nan))
    assert torch.equal(head.answer(poisoned), head.answer(reading))


def test_a_wide_beam_finds_what_the_best_path_does_not() -> None:
    """Two tokens of blank .6 and "a" .4: the best path is silence, .36; "a" has .64."""
    codec = codec_of(["a"])
    reading = reading_of([2])
    found = {}
    for beam in (1, 4):
        head = built(codec, beam=beam)
        with torch.no_grad():
            head.symbols.weight.zero_()
            head.symbols.bias.copy_(torch.tensor([0.6, 0.4]).log())
        found[beam] = codec.decode(head.answer(reading))[""]
    assert found == {1: [""], 4: ["a"]}


def test_it_is_not_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    head = built(codec_of())
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with pytest.raises(SpecError, match="a task that transcribes can not be exported"):
        head.answer(reading_of([5]))


@pytest.mark.parametrize("layers", [0, 2])
def test_layers_are_as_many_as_asked(layers: int) -> None:
    codec = codec_of()
    head = built(codec, layers=layers)
    assert len(head.layers) == layers
    assert head.answer(reading_of([5])).shape[0] == 1


# --- the whole path

TONES = {"a": 400, "b": 1000, "c": 2200}


class StopsAt(Quiet):
    """Interrupts after this step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        if step == self.at:
            signal.raise_signal(signal.SIGINT)


def tune(path: Path, text: str, chance: np.random.Generator) -> None:
    """A tone for each letter, with a short silence behind each."""
    time = np.arange(800) / 8000
    parts = [np.zeros(200)]
    for letter in text:
        parts += [np.sin(2 * np.pi * TONES[letter] * time), np.zeros(160)]
    samples = np.concatenate(parts)
    soundfile.write(path, 0.5 * samples + 0.01 * chance.standard_normal(len(samples)), 8000)


@pytest.fixture(scope="module")
def tunes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of tunes and their letters; some lack the one or the other."""
    folder = tmp_path_factory.mktemp("tunes")
    chance, rows = np.random.default_rng(0), []
    for number in range(120):
        text = "".join(chance.choice(list(TONES), int(chance.integers(1, 5))))
        tune(folder / f"{number}.wav", text, chance)
        split = "train" if number < 90 else ["valid", "test"][number % 2]
        rows.append({"sound": f"{number}.wav", "letters": text, "split": split})
    rows[3]["letters"] = rows[4]["sound"] = ""
    with open(folder / "tunes.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


def experiment(folder: Path, *, epochs: int) -> motet.Experiment:
    return motet.Experiment(
        data={"train": str(folder / "tunes.csv"), "split": "split"},
        inputs={"sound": {"kind": "audio", "channels": 24, "blocks": 1, "width": 32, "mask": 0.0, "dropout": 0.0}},
        tasks={"letters": Transcription(width=32, dropout=0.0)},
        training={
            "epochs": epochs,
            "batch_size": 16,
            "learning_rate": 1e-2,
            "patience": None,
            "average": 0.0,
            "workers": 0,
        },
    )


@pytest.fixture(scope="module")
def run(tunes: Path) -> Any:
    return motet.fit(experiment(tunes, epochs=14), out=tunes / "run")


def test_tones_are_written_down(run: Any, tunes: Path) -> None:
    assert list(run.report["letters"]) == ["cer", "wer"]
    assert run.report["letters"]["cer"].value < 0.2
    answers = motet.load(run.folder).predict([{"sound": str(tunes / "0.wav")}, {"sound": None}], root=tunes)
    with open(tunes / "tunes.csv") as file:
        truth = next(csv.DictReader(file))["letters"]
    assert distance(str(answers[0]["letters"]), truth) <= 1
    assert answers[1]["letters"] is None


def test_answers_are_written_to_files(run: Any, tunes: Path, tmp_path: Path) -> None:
    predictor = motet.load(run.folder)
    for suffix in ("csv", "jsonl"):
        write_predictions(predictor, tunes / "tunes.csv", tmp_path / f"answers.{suffix}")
    with open(tmp_path / "answers.csv") as file:
        written = [row["letters"] for row in csv.DictReader(file)]
    lines = [json.loads(line)["letters"] for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert len(lines) == 120
    assert lines[4] is None
    assert written == [one or "" for one in lines]
    assert set("".join(written)) == set(TONES)


def test_it_is_evaluated_on_another_table(run: Any, tunes: Path) -> None:
    report = motet.evaluate(motet.load(run.folder), tunes / "tunes.csv")
    assert report["letters"]["cer"].value < 0.2


def test_stopped_and_resumed_is_never_stopped(tunes: Path, tmp_path: Path) -> None:
    whole = motet.fit(experiment(tunes, epochs=2), out=tmp_path / "whole")
    with pytest.raises(MotetError, match="stopped after step 7"):
        motet.fit(experiment(tunes, epochs=2), out=tmp_path / "stopped", progress=StopsAt(7))
    again = motet.fit(experiment(tunes, epochs=2), out=tmp_path / "stopped", resume=True)
    one, other = (read_bundle(found.folder / "bundle").weights for found in (whole, again))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
