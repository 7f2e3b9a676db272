"""Checkpoints are whole or absent (Q2): a crash or a full disk at any point leaves one to go on from."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from motet.artifact import folder as folder_module
from motet.core.errors import BundleError, RunError
from motet.training import CheckpointFolder, Position

POINTS = 12
"""More operations on the disk than a save has."""


class Crash(BaseException):
    """What no handler catches: the state of the disk stays as it was in that moment."""


class Disk:
    """Fails at one operation: before it, after it, or halfway through what is written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failure: BaseException, *, at: int, when: str) -> None:
        self.failure, self.at, self.when, self.count, self.failed = failure, at, when, 0, False
        monkeypatch.setattr(folder_module.os, "fsync", self._watched(os.fsync))
        monkeypatch.setattr(Path, "rename", self._watched(Path.rename))
        monkeypatch.setattr(Path, "mkdir", self._watched(Path.mkdir))
        if when == "within":
            monkeypatch.setattr(folder_module, "_write", self._halfway)

    def _watched(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **keywords: Any) -> Any:
            self.count += 1
            if self.count == self.at and self.when == "before":
                self._fail()
            result = operation(*arguments, **keywords)
            if self.count == self.at and self.when == "after":
                self._fail()
            return result

        return watched

    def _halfway(self, path: Path, data: bytes) -> None:
        self.count += 1
        path.write_bytes(data[: len(data) // 2] if self.count == self.at else data)
        if self.count == self.at:
            self._fail()

    def _fail(self) -> None:
        self.failed = True
        raise self.failure


def trained(steps: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(steps)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    return model, optimizer


def save(folder: Path, step: int) -> None:
    model, optimizer = trained(step)
    CheckpointFolder(folder).save(Position(step=step), model, optimizer, average={}, best={})


def loaded(folder: Path) -> int:
    """The step that `load` finds; its weights must be those of that step."""
    model, optimizer = trained(1)
    found = CheckpointFolder(folder).load(model, optimizer)
    assert found is not None
    expected, _ = trained(found.position.step)
    assert torch.equal(model.weight, expected.weight)  # type: ignore[arg-type]
    return found.position.step


def refusal(action: Callable[[], None]) -> str:
    """What the `RunError` of an action says; nothing where there is none."""
    try:
        action()
    except RunError as error:
        return str(error)
    return ""


EVERYWHERE = pytest.mark.parametrize(
    ("when", "at"), [(when, at) for when in ("before", "after", "within") for at in range(1, POINTS + 1)]
)


@EVERYWHERE
def test_a_crash_at_any_point_leaves_a_checkpoint(
    when: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)
    with monkeypatch.context() as patched:
        disk = Disk(patched, Crash(), at=at, when=when)
        with contextlib.suppress(Crash):
            save(tmp_path, 2)
    assert loaded(tmp_path) in ((1, 2) if disk.failed else (2,))
    save(tmp_path, 3)
    assert loaded(tmp_path) == 3


@EVERYWHERE
def test_a_full_disk_leaves_the_last_checkpoint_and_names_path_and_bytes(
    when: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)
    with monkeypatch.context() as patched:
        disk = Disk(patched, OSError(errno.ENOSPC, "No space left on device"), at=at, when=when)
        message = refusal(lambda: save(tmp_path, 2))
    assert bool(message) == disk.failed
    if disk.failed:
        assert "step-000000002: could not write" in message
        assert "bytes: No space left on device" in message
    assert loaded(tmp_path) in (1, 2)
    assert not list(tmp_path.glob(".*.partial"))


@EVERYWHERE
def test_a_crash_while_the_same_step_is_written_again_loses_nothing(
    when: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The only checkpoint there is, and it is being replaced."""
    save(tmp_path, 2)
    for _ in range(2):  # crashing twice at the same point
        with monkeypatch.context() as patched:
            Disk(patched, Crash(), at=at, when=when)
            with contextlib.suppress(Crash):
                save(tmp_path, 2)
        assert loaded(tmp_path) == 2


@EVERYWHERE
def test_a_full_disk_while_the_same_step_is_written_again_loses_nothing(
    when: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 2)
    with monkeypatch.context() as patched:
        disk = Disk(patched, OSError(errno.EROFS, "Read-only file system"), at=at, when=when)
        message = refusal(lambda: save(tmp_path, 2))
    assert ("Read-only" in message) == disk.failed
    assert loaded(tmp_path) == 2


def test_all_points_of_a_save_are_among_those_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 2)
    disk = Disk(monkeypatch, Crash(), at=0, when="before")
    save(tmp_path, 2)
    assert 6 <= disk.count <= POINTS


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 10, 9):
        save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000009", "step-000000010"]


def test_a_damaged_checkpoint_falls_back_on_the_one_before(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    weights = tmp_path / "step-000000002" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert loaded(tmp_path) == 1
    (tmp_path / "step-000000001" / "state.json").unlink()
    with pytest.raises(BundleError, match="no checkpoint of this run is whole"):
        loaded(tmp_path)


def test_an_empty_or_absent_folder_has_none(tmp_path: Path) -> None:
    assert CheckpointFolder(tmp_path).load(*trained(1)) is None
    assert CheckpointFolder(tmp_path / "nowhere").load(*trained(1)) is None


def test_everything_comes_back(tmp_path: Path) -> None:
    model, optimizer = trained(3)
    position = Position(epoch=2, batch=5, step=3, best_gain=0.25, skipped={"price": 4}, loss_sums={"price": 0.1})
    best = {"weight": torch.arange(3.0)}
    torch.manual_seed(7)
    average = {"weight": torch.arange(4.0)}
    CheckpointFolder(tmp_path).save(position, model, optimizer, average=average, best=best)
    drawn = torch.rand(3)
    other, fresh = trained(1)
    found = CheckpointFolder(tmp_path).load(other, fresh)
    assert found is not None
    assert found.position == position
    assert torch.equal(found.best["weight"], best["weight"])
    assert torch.equal(found.average["weight"], average["weight"])
    assert torch.equal(torch.rand(3), drawn)
    ours, theirs = optimizer.state_dict(), fresh.state_dict()
    assert ours["param_groups"][0] | {"betas": [0.9, 0.999]} == theirs["param_groups"][0]
    for index, entry in ours["state"].items():
        assert all(torch.equal(value, theirs["state"][index][name]) for name, value in entry.items())


def test_no_pickle_is_read_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("pickle was used")

    for name in ("dump", "dumps", "load", "loads", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, refused)
    monkeypatch.setattr(torch, "load", refused)
    monkeypatch.setattr(torch, "save", refused)
    save(tmp_path, 2)
    assert loaded(tmp_path) == 2
    kinds = {path.suffix for path in (tmp_path / "step-000000002").iterdir()}
    assert kinds == {".json", ".safetensors"}
    shutil.rmtree(tmp_path / "step-000000002")
