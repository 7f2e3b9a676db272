import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from motet.core.errors import CellError, DataError, RunError
from motet.core.flow import Column
from motet.data.dataset import Dataset
from motet.data.loader import Loader
from motet.data.order import Order
from motet.data.read import read_table
from motet.data.store import read_cells
from motet.data.workers import Workers

NUM_ROWS = 50


class Noisy:
    """A number that varies, and whose batches take `pause` seconds or kill the process at row `fatal`."""

    varies = True

    def __init__(self, pause=0.0, fatal=-1.0, unreadable=False):
        self.pause, self.fatal, self.unreadable = pause, fatal, unreadable

    def read(self, cell):
        if self.unreadable and os.getpid() != PARENT:
            raise CellError("the file is gone")
        return np.asarray(cell, dtype=np.float64)

    def augment(self, item, generator):
        return item + generator.random() / 2

    def batch(self, items):
        time.sleep(self.pause)
        if any(int(item) == self.fatal for item in items):
            os.kill(os.getpid(), signal.SIGKILL)
        return {"x": torch.from_numpy(np.stack(items)), "empty": torch.zeros(len(items), 0)}


PARENT = os.getpid()


def _loader(workers, *, keep_bytes=2**20, reader=None, batch_size=8, seed=3, **options):
    table = read_table([{"x": None if row % 7 == 0 else row, "y": row} for row in range(NUM_ROWS)])
    columns = {"x": Column(("x",), reader or Noisy()), "y": Column(("y",), Noisy())}
    store = read_cells(table, None, columns, keep_bytes=keep_bytes)
    dataset = Dataset(store, inputs=("x",), targets=("y",), seed=seed)
    return Loader(dataset, Order(NUM_ROWS, batch_size=batch_size, seed=seed), workers=workers, **options)


def _content(batches):
    return [
        (
            epoch,
            position,
            batch.rows.tolist(),
            batch.inputs["x"].present.tolist(),
            batch.inputs["x"].values["x"].tolist(),
            list(batch.inputs["x"].values["empty"].shape),
            batch.targets["y"].values["x"].tolist(),
        )
        for epoch, position, batch in batches
    ]


def _run(loader, epochs=2):
    with loader:
        return [row for _ in range(epochs) for row in _content(loader)]


def test_order_is_a_partition_keyed_by_seed_and_epoch():
    order = Order(np.arange(100, 123), batch_size=5, seed=1)
    assert len(order) == 5
    assert [len(batch) for batch in order.batches(0)] == [5, 5, 5, 5, 3]
    assert sorted(np.concatenate(order.batches(0))) == list(range(100, 123))
    first, again, other = (
        np.concatenate(Order(23, batch_size=5, seed=s).batches(e)) for s, e in ((1, 0), (1, 0), (1, 1))
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.concatenate(Order(23, batch_size=5, seed=None).batches(4)).tolist() == list(range(23))


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("keep_bytes", [0, 2**20], ids=["streamed", "kept"])
def test_workers_change_nothing(workers, keep_bytes):
    expected = _run(_loader(0))
    assert len(expected) == 14
    assert _run(_loader(workers, keep_bytes=keep_bytes)) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_in_the_middle_goes_on_as_if_never_stopped(workers):
    expected = _run(_loader(0))
    for stop in (1, 4, 6, 7):
        epoch, position = divmod(stop, 7)
        assert _run(_loader(workers, epoch=epoch, position=position), epochs=2 - epoch) == expected[stop:]


def test_leaving_an_epoch_early_and_going_on_with_other_workers():
    expected = _run(_loader(0))
    loader = _loader(2)
    seen = []
    for epoch, position, batch in loader:
        seen.append((epoch, position, batch))
        if position == 2:
            break
    loader.close()
    assert (loader.epoch, loader.position) == (0, 3)
    assert _content(seen) + _run(_loader(4, position=loader.position)) == expected


def test_no_global_random_stream_is_touched():
    torch.manual_seed(0)
    np.random.seed(0)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    _run(_loader(2))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])


def test_without_augmentation_items_are_as_read():
    ((_, _, batch), *_) = _loader(0, augment=False)
    assert torch.equal(batch.targets["y"].values["x"], batch.rows.double())


def _processes(loader):
    return list(loader._workers._processes)


@pytest.mark.parametrize("at", range(3))
def test_a_worker_that_kills_itself_is_an_error_naming_its_rows(at):
    fatal = 9 + 10 * at
    loader = _loader(2, reader=Noisy(fatal=fatal))
    started, seen = time.monotonic(), []
    batches = (batch.rows.tolist() for _, _, batch in loader)
    with pytest.raises(RunError, match=r"loader worker died \(exit code -9\)") as error, loader:
        seen.extend(row for rows in batches for row in rows)
    assert time.monotonic() - started < 5
    assert fatal not in seen
    rows = next(batch for batch in loader.order.batches(0) if fatal in batch)
    assert ", ".join(f"<table in memory>:{row + 1}" for row in rows) in str(error.value)


def test_a_worker_killed_from_outside_is_noticed_and_none_is_left():
    loader = _loader(2, reader=Noisy(pause=0.05))
    batches = iter(loader)
    next(batches)
    processes = _processes(loader)
    processes[1].kill()
    started = time.monotonic()
    with pytest.raises(RunError, match="loader worker died"):
        list(batches)
    assert time.monotonic() - started < 5
    assert not any(process.is_alive() for process in processes)


def test_closing_ends_busy_workers_at_once():
    loader = _loader(0, reader=Noisy(pause=60))
    workers = Workers(loader.dataset, 3)
    for rows in loader.order.batches(0)[:3]:
        workers.ask(rows, epoch=0)
    processes = list(workers._processes)
    started = time.monotonic()
    workers.close()
    assert time.monotonic() - started < 5
    assert not any(process.is_alive() for process in processes)


def test_errors_of_a_worker_come_through():
    with pytest.raises(DataError, match=r":\d+:x: the file is gone"):
        _run(_loader(2, keep_bytes=0, reader=Noisy(unreadable=True)))


ORPHANS = """
import os, signal, sys
sys.path[:0] = {path!r}
import test_data_loader as t
loader = t._loader(2, reader=t.Noisy(pause=0.2))
batches = iter(loader)
next(batches)
print(*(p.pid for p in t._processes(loader)), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_when_the_parent_is_killed(tmp_path):
    script = ORPHANS.format(path=[os.path.dirname(__file__)])
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    pids = [int(pid) for pid in found.stdout.split()]
    assert len(pids) == 2, found.stderr
    deadline = time.monotonic() + 5
    while any(_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)


def _running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
