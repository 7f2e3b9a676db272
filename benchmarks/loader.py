"""P4: the loader against a bare loop that decodes and transforms the same files, on pictures (PNG) and sound (WAV).

Nothing is cached on either side: the loader streams. All sides run interleaved, one thread per process; a ratio above 1
means that the loader is faster. Run: `python benchmarks/loader.py [--quick]`.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import soundfile
import torch
from PIL import Image

from motet import inputs
from motet.core.flow import Column, Place
from motet.data import Dataset, Loader, Order, Store, present_cells, read_cells, read_table

BATCH_SIZE = 32
SIDE, RATE = 96, 16_000
TARGETS = {"loader": 0.90, "2 workers": 1.60}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="few rows and rounds")
    quick = arguments.parse_args().quick
    num_rows, rounds = (128, 3) if quick else (768, 9)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MOTET_CACHE"] = str(Path(folder) / "cache")
        write_data(Path(folder), num_rows)
        compare(read_store(Path(folder)), rounds)


def write_data(folder: Path, num_rows: int) -> None:
    rng = np.random.default_rng(0)
    lines = ["photo,sound"]
    for row in range(num_rows):
        coarse = rng.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / f"{row}.png")
        tone = np.sin(2 * np.pi * rng.uniform(200, 2000) * np.arange(RATE) / RATE) / 2
        soundfile.write(folder / f"{row}.wav", tone.astype(np.float32), RATE)
        lines.append(f"{row}.png,{row}.wav")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")


def read_store(folder: Path) -> Store:
    table = read_table(folder / "table.csv")
    rows = np.arange(table.num_rows)
    specs = {"photo": inputs.Image(), "sound": inputs.Audio()}
    columns = {}
    for name, spec in specs.items():
        cells = list(present_cells(table, Place((name,), media=True), rows))
        columns[name] = Column((name,), spec.fit(cells), media=True)
    return read_cells(table, rows, columns, keep_bytes=0, remember=False)


def compare(store: Store, rounds: int) -> None:
    dataset = Dataset(store, inputs=tuple(store.columns))
    order = Order(store.rows, batch_size=BATCH_SIZE, seed=0)
    with Loader(dataset, order, workers=2) as two, Loader(dataset, order) as none:
        sides: dict[str, Callable[[], Iterator[object]]] = {
            "bare loop": lambda: bare_loop(store, order),
            "loader": lambda: iter(none),
            "2 workers": lambda: iter(two),
        }
        times: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(rounds + 1):
            for name, side in sides.items():
                started = time.perf_counter()
                for _ in side():
                    pass
                if turn:  # the first round warms up: imports, forked workers, the file cache
                    times[name].append(time.perf_counter() - started)
    report(times, num_rows=len(store.rows))


def bare_loop(store: Store, order: Order) -> Iterator[object]:
    """What one would write by hand: read, vary and stack the files of each batch."""
    rng = np.random.default_rng(0)
    files = {name: column.cells.cells(store.rows) for name, column in store.columns.items()}
    folder = store.columns["photo"].cells.table.folder(0)
    for rows in order.batches(0):
        batch = {}
        for name, column in store.columns.items():
            reader = column.reader
            items = [reader.augment(reader.read(folder / str(files[name][row])), rng) for row in rows]
            batch[name] = reader.batch(items)
        yield batch


def report(times: dict[str, list[float]], *, num_rows: int) -> None:
    for name, seconds in times.items():
        print(f"{name:10} {num_rows / statistics.median(seconds):8.0f} rows/s")
    pairs = {"loader": ("bare loop", "loader"), "2 workers": ("loader", "2 workers")}
    for name, (slow, fast) in pairs.items():
        ratios = [one / other for one, other in zip(times[slow], times[fast], strict=True)]
        low, median, high = min(ratios), statistics.median(ratios), max(ratios)
        print(
            f"{name} / {slow}: {median:.2f} ({low:.2f} to {high:.2f}, {len(ratios)} rounds), target {TARGETS[name]:.2f}"
        )


if __name__ == "__main__":
    main()
