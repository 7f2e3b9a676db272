"""The loop on a model of one weight per task: when it stops, what it keeps, and what it writes."""

import json
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch

from motet import balance, fusion, inputs, sharing, tasks
from motet.core.errors import RunError
from motet.core.flow import Batch, Cells
from motet.model import Network, assemble
from motet.training import (
    CheckpointFolder,
    Interrupted,
    Loop,
    Quiet,
    RunLog,
    TrainingSpec,
    Validation,
    build_optimizer,
    loop,
    read_log,
)

NUM_BATCHES = 4


def network() -> Network:
    number, price = inputs.Number(width=2, encoding="linear"), tasks.Regression()
    return assemble(
        inputs={"age": (number, number.fit([0.0, 1.0]))},
        tasks={"price": (price, price.fit([0.0, 1.0]))},
        fusion=fusion.Concat(width=2),
        sharing=sharing.Hard(width=2, dropout=0.0),
        task_balance=balance.Fixed(),
        modality_balance=balance.NoThrottle(),
    )


def batches(epoch: int, position: int) -> Iterable[Batch]:
    for index in range(position, NUM_BATCHES):
        generator = torch.Generator().manual_seed(100 * epoch + index)
        x, y = torch.randn(3, 1, generator=generator), torch.randn(3, generator=generator)
        present = torch.ones(3, dtype=torch.bool)
        yield Batch({"age": Cells({"features": x}, present)}, {"price": Cells({"target": y}, present)}, torch.arange(3))


def make(
    folder: Path,
    *,
    gains: Iterable[float] | None = None,
    source: Callable[[int, int], Iterable[Batch]] = batches,
    seen: list[dict[str, torch.Tensor]] | None = None,
    **fields: object,
) -> Loop:
    """A loop whose validation answers the given gains, one per epoch."""
    spec = TrainingSpec.model_validate({"epochs": 6, "learning_rate": 0.01, "batch_size": 3, "patience": None} | fields)
    remaining = iter(gains or ())

    def validate(net: Network) -> Validation:
        if seen is not None:
            seen.append({name: tensor.clone() for name, tensor in net.state_dict().items()})
        gain = next(remaining)
        return Validation({"price": {"r2": gain}}, gain, f"r2 {gain}")

    net = network()
    return Loop(
        net,
        build_optimizer(net, spec),
        spec,
        batches=source,
        batches_per_epoch=NUM_BATCHES,
        priorities={"price": lambda progress: 1.0},
        validate=None if gains is None else validate,
        checkpoints=CheckpointFolder(folder / "checkpoints"),
        progress=Quiet(),
    )


def run(one: Loop, folder: Path) -> list[dict[str, object]]:
    with RunLog(folder / "log.jsonl", keep_bytes=one.position.log_bytes) as log:
        one.run(log)
    return read_log(folder / "log.jsonl")


def test_the_best_weights_come_back_and_patience_ends_the_run(tmp_path: Path) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    one = make(tmp_path, gains=[0.1, 0.5, 0.4, 0.3, 0.9], seen=seen, patience=2)
    lines = run(one, tmp_path)
    assert (one.position.epoch, one.position.best_epoch, one.position.best_gain) == (4, 2, 0.5)
    for name, tensor in one.network.state_dict().items():
        assert torch.equal(tensor, seen[1][name])
    assert [line["gain"] for line in lines if "gain" in line] == [0.1, 0.5, 0.4, 0.3]


def test_of_equal_gains_the_later_weights_are_kept_but_do_not_count_as_progress(tmp_path: Path) -> None:
    """A rank metric can be perfect after one epoch, when probabilities are still far off."""
    one = make(tmp_path, gains=[1.0] * 6, patience=3)
    run(one, tmp_path)
    assert (one.position.epoch, one.position.best_epoch) == (4, 4)


def test_without_patience_every_epoch_runs_and_without_validation_the_last_weights_stay(tmp_path: Path) -> None:
    one = make(tmp_path, gains=[0.5, 0.4, 0.3, 0.2, 0.1, 0.0])
    run(one, tmp_path)
    assert one.position.epoch == 6
    blind = make(tmp_path / "blind", epochs=2)
    run(blind, tmp_path / "blind")
    assert blind.position.epoch == 2
    assert blind.position.best_epoch == 2, "where nothing is validated the last weights are kept"


def test_the_log_counts_steps_and_holds_no_time(tmp_path: Path) -> None:
    logs = []
    for name in ("a", "b"):
        lines = run(make(tmp_path / name, gains=[0.1, 0.2], epochs=2), tmp_path / name)
        logs.append((tmp_path / name / "log.jsonl").read_bytes())
    assert logs[0] == logs[1]
    steps = [line for line in lines if "losses" in line]
    assert [line["step"] for line in steps] == list(range(1, 9))
    assert [line["epoch"] for line in steps] == [1] * 4 + [2] * 4
    assert [line["rows_seen"] for line in steps] == list(range(3, 25, 3))
    epochs = [line for line in lines if "valid" in line]
    assert [(line["step"], line["epoch"]) for line in epochs] == [(4, 1), (8, 2)]
    names = {name for line in lines for name in line}
    assert names == {"step", "epoch", "losses", "learning_rate", "rows_seen", "train", "valid", "gain"}
    mean = sum(line["losses"]["price"] for line in steps[:4]) / 4  # type: ignore[index]
    assert epochs[0]["train"] == {"price": pytest.approx(mean)}


def test_accumulation_takes_several_batches_a_step_and_a_short_group_at_the_end(tmp_path: Path) -> None:
    lines = run(make(tmp_path, epochs=1, accumulate=3), tmp_path)
    assert [line["rows_seen"] for line in lines if "losses" in line] == [9, 12]


def test_the_rate_falls_over_the_whole_run(tmp_path: Path) -> None:
    lines = run(make(tmp_path, epochs=3, warmup=0.0, schedule="linear"), tmp_path)
    rates = [line["learning_rate"] for line in lines if "losses" in line]
    assert rates == pytest.approx([0.01 * (1 - step / 12) for step in range(12)])


def test_the_budget_of_minutes_ends_the_run_within_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def slow(epoch: int, position: int) -> Iterable[Batch]:
        for one in batches(epoch, position):
            clock[0] += 20.0
            yield one

    monkeypatch.setattr(loop.time, "monotonic", lambda: clock[0])
    one = make(tmp_path, gains=[0.1, 0.2], source=slow, minutes=2.0)
    run(one, tmp_path)
    assert one.position.step == 6
    assert one.position.done
    again = make(tmp_path, gains=[], source=slow, minutes=2.0)
    assert again.restore()
    assert again.position.seconds == pytest.approx(120.0)
    run(again, tmp_path)
    assert again.position.step == 6


def test_a_run_that_goes_on_after_a_checkpoint_repeats_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(tmp_path / "whole", gains=[0.1, 0.3, 0.2], epochs=3)
    run(whole, tmp_path / "whole")

    class Killed(BaseException):
        pass

    def dies(epoch: int, position: int) -> Iterable[Batch]:
        for index, one in enumerate(batches(epoch, position)):
            if (epoch, position + index) == (1, 3):
                raise Killed
            yield one

    monkeypatch.setattr(Loop, "_checkpoint_is_due", lambda self: self.position.step in (2, 6))
    with pytest.raises(Killed):
        run(make(tmp_path / "killed", gains=[0.1], source=dies, epochs=3), tmp_path / "killed")
    resumed = make(tmp_path / "killed", gains=[0.3, 0.2], epochs=3)
    assert resumed.restore()
    assert resumed.position.step == 6
    run(resumed, tmp_path / "killed")
    assert (tmp_path / "killed" / "log.jsonl").read_bytes() == (tmp_path / "whole" / "log.jsonl").read_bytes()
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], tensor)
    ours, theirs = (one.optimizer.state_dict()["state"] for one in (whole, resumed))
    for index, entry in ours.items():
        assert all(torch.equal(value, theirs[index][name]) for name, value in entry.items())


@pytest.fixture
def _heard() -> Iterator[None]:
    """Ctrl-C is heard, as at a terminal: who is started in the background is started deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupting(*signals_at: int) -> Callable[[int, int], Iterable[Batch]]:
    def source(epoch: int, position: int) -> Iterable[Batch]:
        for index, one in enumerate(batches(epoch, position), start=NUM_BATCHES * epoch + position):
            for _ in range(signals_at.count(index)):
                signal.raise_signal(signal.SIGINT)
            yield one

    return source


@pytest.mark.usefixtures("_heard")
def test_ctrl_c_finishes_the_step_and_saves(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    one = make(tmp_path, gains=[0.1], source=interrupting(5))
    with pytest.raises(Interrupted, match=r"after step 6.*--resume"):
        run(one, tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    resumed = make(tmp_path, gains=[0.2, 0.3, 0.4, 0.5, 0.6])
    assert resumed.restore()
    assert (resumed.position.step, resumed.position.epoch, resumed.position.batch) == (6, 1, 2)
    run(resumed, tmp_path)
    whole = make(tmp_path / "whole", gains=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    run(whole, tmp_path / "whole")
    assert (tmp_path / "log.jsonl").read_bytes() == (tmp_path / "whole" / "log.jsonl").read_bytes()


@pytest.mark.usefixtures("_heard")
def test_a_second_ctrl_c_acts_as_usual(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(make(tmp_path, source=interrupting(1, 1)), tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_in_another_thread_signals_are_left_alone(tmp_path: Path) -> None:
    one = make(tmp_path, epochs=1)
    thread = threading.Thread(target=run, args=(one, tmp_path))
    thread.start()
    thread.join()
    assert one.position.done


def test_so_many_steps_without_a_finite_loss_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(epoch: int, position: int) -> Iterable[Batch]:
        for one in batches(epoch, position):
            cells = Cells({"target": torch.full((3,), torch.nan)}, one.targets["price"].present)
            yield Batch(one.inputs, {"price": cells}, one.rows)

    monkeypatch.setattr(loop, "MAX_IDLE_STEPS", 6)
    one = make(tmp_path, source=broken)
    with pytest.raises(RunError, match=r"step 6: .*6 steps in a row \(price\)"):
        run(one, tmp_path)
    lines = read_log(tmp_path / "log.jsonl")
    assert all(line["skipped"] == ["price"] and line["losses"] == {"price": None} for line in lines if "losses" in line)


def test_a_line_cut_short_by_a_crash_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "los')
    assert read_log(path) == [{"step": 1}]
    with RunLog(path, keep_bytes=len('{"step": 1}\n')) as log:
        log.write({"step": 2, "losses": {"a": float("nan"), "b": 1.5}})
        assert json.loads(path.read_text().splitlines()[1]) == {"step": 2, "losses": {"a": None, "b": 1.5}}
