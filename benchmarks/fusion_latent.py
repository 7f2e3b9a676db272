"""Fusion in one latent space: which picture goes with which sound or description, and what is left without one.

Two tables. `av_digits`: pictures of 8 x 8 grey pixels and sounds of the same digit as vectors, 2,000 training rows, 400
that validate, 2,000 test rows; the score with both, and what is left without the sound or without the picture. With
`no drop` no training row lacks an input, so that nothing has learned to do without. `grocery`: pictures of 32 x 32 and
the description of their class, 81 in all; the task is the class, which the description gives away, so what counts is
the score without it; half of the training rows lack it.

Recall is that of the alignment: an input's point asks for its partner by cosine. On `grocery` a picture asks for its
description among 81. On `av_digits` a picture asks for its own sound among those of all rows; it can know no more than
the digit, of which there are about 200 each, so beside it stands how often the nearest sound is of the right digit.

Options were chosen on the validation rows (`--valid`, which reads no test row). What was measured is kept in
benchmarks/results, so the script goes on where it stopped.

    python benchmarks/fusion_latent.py [--valid] [--seeds 3] [--minutes 8] [--side 1] [--tables av_digits grocery ...]
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import pyarrow.parquet as pq
import soundfile
from PIL import Image

import study
import study_tables
from motet.media.mel import log_mel

LATENT = {"kind": "latent"}
FUSIONS: dict[str, dict[str, Any]] = {
    "concat": {"kind": "concat"},
    "latent, no losses": {**LATENT, "align": "none"},
    "latent, contrastive": LATENT,
    "latent, sigmoid": {**LATENT, "align": "sigmoid"},
    "latent, cca": {**LATENT, "align": "cca", "width": 32},
    "latent, vicreg": {**LATENT, "align": "vicreg"},
    "latent, barlow": {**LATENT, "align": "barlow"},
    "latent, decode": {**LATENT, "align": "none", "decode": True},
    "latent, contrastive, decode": {**LATENT, "decode": True},
    "factors": {"kind": "factors"},
    "rbm": {"kind": "rbm"},
}
SEEDS = {"av_digits": 3, "av_digits, no drop": 3, "grocery": 1}
AV = ("image", "audio")
PAIRS = {"av_digits": AV, "av_digits, no drop": AV, "grocery": ("photo", "description")}
TASKS = {"av_digits": "digit", "av_digits, no drop": "digit", "grocery": "fine"}
OUT = study.ROOT / "runs" / "fusion_latent"


def main() -> None:
    """Train what is not trained yet, then print the tables of what is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--valid", action="store_true", help="score the validation rows; the test rows are not read")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--side", type=int, default=1, help="trainings side by side, one thread each")
    parser.add_argument("--tables", nargs="*", default=list(PAIRS))
    parser.add_argument("--only", nargs="*", default=list(FUSIONS), help="these fusions, as they are called here")
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    part = "valid" if options.valid else "test"
    made = {name: TABLES[name](study.data_folder(), part) for name in options.tables}
    jobs = [
        study.Job(f"{table} | {part} | {fusion} | {seed}", EXPERIMENTS[table](made[table], fusion, seed))
        for table in options.tables
        for seed in range(min(options.seeds, SEEDS[table]))
        for fusion in options.only
    ]
    results = study.RESULTS / "fusion_latent.jsonl"
    found = study.work(jobs, measure, results=results, minutes=options.minutes, side=options.side)
    for table in options.tables:
        print(f"\n#### {table}, {part} rows\n\n{markdown(table, part, found, options)}")


def av_digits(data: Path, part: str) -> Path:
    """Small pictures, and sounds with a tenth of their power in noise, as vectors: 64 pixels, 16 bands at 12 times."""
    whole = study_tables.av_digits(data, OUT, grey=8, noise_db=10.0)
    out = whole.with_name("vectors.parquet")
    if not out.is_file():
        rows = pcsv.read_csv(whole)
        pictures = [np.asarray(Image.open(whole.parent / path)).ravel() for path in rows["image"].to_pylist()]
        sounds = [heard(*soundfile.read(whole.parent / path, dtype="float32")) for path in rows["audio"].to_pylist()]
        columns = {"image": [one.astype(np.float32) for one in pictures], "audio": sounds}
        pq.write_table(pa.table({**columns, **{name: rows[name] for name in ("id", "digit", "split")}}), out)
    return _of_part(pq.read_table(out), out, part)


def heard(samples: np.ndarray, rate: int) -> np.ndarray:
    """The log-mel spectrogram, its frames averaged to twelve."""
    frames = log_mel(samples, rate=rate, window=rate // 40, hop=rate // 100, mels=16)
    parts = np.array_split(frames, 12) if len(frames) >= 12 else np.resize(frames, (12, 1, 16))
    return np.concatenate([part.mean(axis=0) for part in parts]).astype(np.float32)


def grocery(data: Path, part: str) -> Path:
    """The official split, paths as they are."""
    folder = data / "grocery"
    table = pcsv.read_csv(folder / "manifest.csv")
    photos = [str((folder / path).resolve()) for path in table["image"].to_pylist()]
    table = pa.table({"photo": photos, **{name: table[name] for name in ("description", "fine", "split")}})
    return _of_part(table, OUT / "grocery.parquet", part)


def _of_part(table: pa.Table, like: Path, part: str) -> Path:
    """On file, without its test rows where only validation is to be read."""
    out = like.with_name(f"{like.stem}-{part}.parquet")
    pq.write_table(table if part == "test" else table.filter(pc.not_equal(table["split"], "test")), out)
    return out


def of_av_digits(source: Path, fusion: str, seed: int) -> dict[str, Any]:
    """Two perceptrons as encoders; modality dropout as it comes."""
    return {
        "data": {"train": str(source), "split": "split"},
        "inputs": {name: {"kind": "vector", "width": 64} for name in AV},
        "tasks": {"digit": "multiclass"},
        "fusion": FUSIONS[fusion],
        "training": {"epochs": 8, "patience": None, "seed": seed, "device": "cpu"},
    }


def of_av_digits_whole(source: Path, fusion: str, seed: int) -> dict[str, Any]:
    """The same, no input ever taken away in training."""
    given = of_av_digits(source, fusion, seed)
    return {**given, "inputs": {name: {**one, "drop": 0.0} for name, one in given["inputs"].items()}}


def of_grocery(source: Path, fusion: str, seed: int) -> dict[str, Any]:
    """Small pictures; the description is taken away from half of the rows."""
    photo = {"kind": "image", "size": [32, 32], "width": 128, "flip": True, "crop": 0.15, "dropout": 0.2, "drop": 0.0}
    text = {"kind": "text", "vocabulary": 1000, "max_tokens": 40, "width": 64, "drop": 0.5}
    return {
        "data": {"train": str(source), "split": "split", "root": str(study.data_folder() / "grocery")},
        "inputs": {"photo": photo, "description": text},
        "tasks": {"fine": "multiclass"},
        "fusion": FUSIONS[fusion],
        "training": {"epochs": 8, "learning_rate": 2e-3, "patience": None, "seed": seed, "device": "cpu"},
    }


def measure(job: study.Job, folder: Path) -> dict[str, Any]:
    """Train; the score with every input and without each, and the recall of the alignment."""
    import torch

    import motet

    torch.set_num_threads(1)
    table, part, *_ = job.key.split(" | ")
    run = motet.fit(job.experiment, out=folder)
    report, task = run.report.content, TASKS[table]
    figures = report["tasks"][task]["metrics"]
    scored = pq.read_table(job.experiment["data"]["train"])
    scored = scored.filter(pc.is_in(scored["split"], pa.array(["test"] if part == "test" else ["val", "valid"])))
    return {
        "score": figures[report["tasks"][task]["primary"]]["value"],
        "absent": {name: study.without(report, name, task) for name in report["inputs"]},
        **(recalls(run.model, scored, table, job.experiment["data"].get("root")) if aligns(run.model) else {}),
    }


def aligns(model: Any) -> bool:
    """Whether the inputs have points in one space."""
    return hasattr(model.network.fusion, "points")


def recalls(model: Any, scored: pa.Table, table: str, root: str | None) -> dict[str, float]:
    """recall@1 and @5 of the partner, and whether the nearest is of the right class."""
    import torch

    points: list[dict[str, Any]] = []
    hook = model.network.fusion.register_forward_hook(lambda fusion, given, out: points.append(fusion.points(given[0])))
    model.predict(scored, root=root)
    hook.remove()
    first, second = (torch.cat([one[name] for one in points]).numpy() for name in PAIRS[table])
    kinds, items = np.unique(scored["description" if table == "grocery" else "id"].to_pylist(), return_inverse=True)
    _, gallery = np.unique(items, return_index=True)
    similar = first @ second[gallery].T
    ranks = 1 + (similar > similar[np.arange(len(items)), items][:, None]).sum(axis=1)
    label = np.array(scored[TASKS[table]].to_pylist())
    found = {f"recall@{k}": float((ranks <= k).mean()) for k in (1, 5)}
    return found | {"class": float((label[gallery][similar.argmax(axis=1)] == label).mean()), "items": len(kinds)}


def markdown(table: str, part: str, found: dict[str, dict[str, Any]], options: argparse.Namespace) -> str:
    """One line for each fusion, as good without the second input as it is."""
    first, second = PAIRS[table]
    head = ["fusion", TASKS[table], f"without {second}", f"without {first}", "recall@1", "recall@5", "nearest of class"]
    wanted = min(options.seeds, SEEDS[table])
    rows = {}
    for fusion in options.only:
        runs = [one for seed in range(wanted) if (one := found.get(f"{table} | {part} | {fusion} | {seed}"))]
        if runs:
            columns = [[run["score"] for run in runs], *([run["absent"][n] for run in runs] for n in (second, first))]
            columns += [[run[name] for run in runs if name in run] for name in ("recall@1", "recall@5", "class")]
            rows[fusion] = columns
    lines = [head, ["---"] * len(head)]
    for fusion, columns in sorted(rows.items(), key=lambda one: -np.mean(one[1][1])):
        lines.append([fusion, *(study.shown(one, wanted=wanted) if one else "-" for one in columns)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


TABLES: dict[str, Callable[[Path, str], Path]] = {
    "av_digits": av_digits,
    "av_digits, no drop": av_digits,
    "grocery": grocery,
}
EXPERIMENTS: dict[str, Callable[[Path, str, int], dict[str, Any]]] = {
    "av_digits": of_av_digits,
    "av_digits, no drop": of_av_digits_whole,
    "grocery": of_grocery,
}


if __name__ == "__main__":
    main()
