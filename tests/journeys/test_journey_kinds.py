"""One model with tasks of many kinds, all at once: it trains, is stopped and goes on, predicts and is evaluated."""

import io
import json
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image
from scenes import RATE, SIDE, TASKS, experiment, scenes

import motet
from motet.artifact import read_bundle
from motet.core.errors import MotetError
from motet.serving.write import write_predictions
from motet.spec import ROOMS
from motet.training import Quiet

EIGHT = ["is_red", "price", "beeps", "tags", "mask", "pair", "caption", "heard"]


class StopsAt(Quiet):
    """Presses Ctrl-C after this step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, *, epoch: int, epochs: int, step: int, steps: int, losses: Mapping[str, float]) -> None:
        """Once."""
        if step == self.at:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scenes, and a run of all kinds on them."""
    folder = tmp_path_factory.mktemp("kinds")
    motet.fit(experiment(scenes(folder, count=48), list(TASKS)), out=folder / "run")
    return folder


def test_no_kind_is_left_out() -> None:
    assert {one if isinstance(one, str) else one["kind"] for one in TASKS.values()} == set(ROOMS["tasks"])


def test_every_task_is_scored_in_its_own_metrics(folder: Path) -> None:
    report = json.loads((folder / "run" / "report.json").read_text())
    for name, one in TASKS.items():
        entry = report["tasks"][name]
        spec = ROOMS["tasks"][one if isinstance(one, str) else one["kind"]]
        assert list(entry["metrics"]) == list(spec.metric_names)  # type: ignore[attr-defined]
        assert entry["metrics"][entry["primary"]]["value"] is not None, name
        assert entry["baseline"][entry["primary"]] is not None, name


def test_stopped_and_resumed_is_never_stopped(folder: Path, tmp_path: Path) -> None:
    stopped = tmp_path / "run"
    given = experiment(folder / "scenes.parquet", list(TASKS))
    with pytest.raises(MotetError, match="stopped after step 5"):
        motet.fit(given, out=stopped, progress=StopsAt(5))
    motet.fit(given, out=stopped, resume=True)
    weights = read_bundle(folder / "run" / "bundle").weights
    again = read_bundle(stopped / "bundle").weights
    assert weights.keys() == again.keys()
    assert all(bool((weights[name] == again[name]).all()) for name in weights)
    assert (stopped / "report.json").read_text().split('"seconds"')[0] == (
        folder / "run" / "report.json"
    ).read_text().split('"seconds"')[0]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_answers_are_ones_a_person_can_use(
    folder: Path, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    predictor = motet.load(folder / "run")
    written = tmp_path / f"answers.{suffix}"
    assert write_predictions(predictor, folder / "scenes.parquet", written) == 48
    answers = predictor.predict(pq.read_table(folder / "scenes.parquet").to_pylist()[:2], root=folder)
    first = answers[0]
    assert first["is_red"] in ("yes", "no")
    assert isinstance(first["price"], float)
    assert len(first["tags"]) == 5
    assert Image.open(io.BytesIO(first["mask"])).size == (SIDE, SIDE)
    assert isinstance(first["caption"], str)
    assert isinstance(first["heard"], str)
    samples, rate = soundfile.read(io.BytesIO(first["voice"]))
    assert rate == RATE
    assert np.isfinite(samples).all()
    for box in first["boxes"]:
        assert 0 <= box["box"][0] <= box["box"][2] <= SIDE


def test_a_bundle_alone_says_the_same(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    shutil.copytree(folder / "run" / "bundle", tmp_path / "bundle")
    rows = pq.read_table(folder / "scenes.parquet").to_pylist()
    one, other = motet.load(folder / "run"), motet.load(tmp_path / "bundle")
    assert one.predict(rows, root=folder) == other.predict(rows, root=folder)


def test_rows_that_lack_everything_are_answered(folder: Path) -> None:
    answers = motet.load(folder / "run").predict([{"photo": None, "size": None}, {"photo": None, "size": 2.0}])
    assert answers[0]["tags"] is None
    assert answers[0]["mask"] is None
    assert answers[0]["is_red"] in ("yes", "no")


def test_it_is_evaluated_on_another_table(folder: Path, tmp_path: Path) -> None:
    other = scenes(tmp_path / "other", count=20, seed=1)
    report = motet.evaluate(motet.load(folder / "run"), other, root=tmp_path / "other")
    for name, one in TASKS.items():
        assert set(report[name]) == set(ROOMS["tasks"][one if isinstance(one, str) else one["kind"]].metric_names)  # type: ignore[attr-defined]


@pytest.mark.parametrize("changes", [{"fusion": "transformer"}, {"fusion": "late"}, {"balance": {"tasks": "mgda"}}])
def test_eight_kinds_under_other_fusions_and_balance(folder: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    table = folder / "scenes.parquet"
    training = {"epochs": 1, "batch_size": 12, "learning_rate": 3e-3}
    run = motet.fit(experiment(table, EIGHT, training=training, **changes), out=tmp_path / "run")
    assert set(run.report.content["tasks"]) == set(EIGHT)
