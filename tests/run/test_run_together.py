"""`training.devices` and `torchrun`: one run, trained by two processes, is the run one process trains."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

import motet
from motet.core.errors import SpecError


def rows(number: int = 75) -> list[dict[str, Any]]:
    """The last batch of an epoch has one row, so that the second process has none."""
    chance = np.random.default_rng(0)
    made = []
    for _ in range(number):
        a, b = chance.normal(size=2)
        made.append(
            {
                "a": float(a) if chance.random() < 0.8 else None,
                "b": float(b),
                "words": " ".join(chance.choice(["red", "blue", "green"], 3)),
                "product": float(a * b) if chance.random() < 0.8 else None,
                "sign": "up" if a + b > 0 else "down",
            }
        )
    return made


def document(**training: object) -> dict[str, Any]:
    return {
        "data": {"train": rows(), "valid": 10 / 75},
        "inputs": {"a": "number", "b": "number", "words": {"kind": "text", "width": 8}},
        "tasks": {"product": "regression", "sign": "binary"},
        "fusion": {"kind": "concat", "width": 8, "dropout": 0.1},
        "sharing": {"kind": "hard", "width": 8},
        "balance": {"tasks": "mgda"},
        "training": {"epochs": 2, "batch_size": 16, "optimizer": "sgd", "device": "cpu", **training},
    }


def weights(folder: Path) -> dict[str, Any]:
    return load_file(folder / "bundle" / "weights.safetensors")


def assert_alike(found: Path, expected: Path) -> None:
    for name, tensor in weights(expected).items():
        difference = (weights(found)[name].double() - tensor.double()).abs().max()
        assert difference <= 1e-5 * max(1.0, float(tensor.abs().max())), name
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (found, expected)]
    assert [line.get("rows_seen") for line in logs[0]] == [line.get("rows_seen") for line in logs[1]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone") / "run"
    motet.fit(document(), out=folder)
    return folder


def test_two_devices_train_what_one_does(alone: Path, tmp_path: Path) -> None:
    run = motet.fit(document(devices=2), out=tmp_path / "run")
    assert_alike(run.folder, alone)
    assert motet.fit(document(devices=2), out=tmp_path / "run", resume=True).already_done


def test_two_devices_with_a_part_of_the_weights_each_train_what_one_does(alone: Path, tmp_path: Path) -> None:
    run = motet.fit(document(devices=2, shard=True), out=tmp_path / "run")
    assert_alike(run.folder, alone)
    assert {path.suffix for path in (run.folder / "checkpoints").rglob("*.*")} <= {".safetensors", ".json"}
    assert json.loads((run.folder / "relations.json").read_text())["at"] == "layer"


def test_each_process_may_load_with_workers(alone: Path, tmp_path: Path) -> None:
    run = motet.fit(document(devices=2, workers=1), out=tmp_path / "run")
    assert_alike(run.folder, alone)


def test_torchrun_trains_what_one_process_does(alone: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows()))
    (tmp_path / "experiment.yaml").write_text(
        yaml.safe_dump({**document(), "data": {"train": "rows.jsonl", "valid": 10 / 75}})
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [
            *command,
            "--no-python",
            str(Path(sys.executable).with_name("motet")),
            "train",
            "experiment.yaml",
            "--out",
            "run",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("report  ") == 1
    assert_alike(tmp_path / "run", alone)


def test_an_error_of_the_data_is_told_once_and_leaves_nothing(tmp_path: Path) -> None:
    bad = document(devices=2)
    bad["inputs"] = {"a": "image"}
    with pytest.raises(motet.core.errors.MotetError, match=r"inputs\.a"):
        motet.fit(bad, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_divided_weights_can_not_do_is_refused(tmp_path: Path) -> None:
    stitched = {**document(devices=2, shard=True), "sharing": {"kind": "crossstitch", "width": 8}}
    with pytest.raises(SpecError, match=r"training\.shard.*balance\.tasks\.at"):
        motet.fit(stitched, out=tmp_path / "run")
    with pytest.raises(SpecError, match=r"training\.shard.*balance\.watch"):
        motet.fit({**stitched, "balance": {"watch": 5}}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_ends_the_first_process_is_told_once(alone: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows()))
    (tmp_path / "experiment.yaml").write_text(
        yaml.safe_dump({**document(devices=2), "data": {"train": "rows.jsonl", "valid": 10 / 75}})
    )
    motet_command = [str(Path(sys.executable).with_name("motet")), "train", "experiment.yaml", "--out", str(alone)]
    done = subprocess.run(motet_command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.count("holds a run already") == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"balance": {"modalities": "ogm"}}, "balance.modalities"),
        ({"fusion": {"kind": "late", "rule": "uncertainty"}}, "fusion.rule"),
        ({"tasks": {"product": {"kind": "ranking", "group": "sign"}}}, r"tasks\.product: ranking compares rows"),
        ({"tasks": {"product": {"kind": "survival", "event": "sign"}}}, r"tasks\.product: survival compares rows"),
    ],
)
def test_what_needs_the_rows_of_one_process_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=said):
        motet.fit({**document(devices=2), **change}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
