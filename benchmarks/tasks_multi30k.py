"""English captions into German: a model trained from scratch beside the translation of the most similar caption.

The table is `multi30k_text`: 29,000 captions train, 1,014 validate, 1,000 (test_2016_flickr) test. The other side
answers with the German of the training caption whose English is nearest by TF-IDF of words. Options were chosen on the
validation rows; the test rows are read once, at the end. One thread.

    python benchmarks/tasks_multi30k.py [--valid] [--set training.epochs=2 ...]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

import motet
import study
from motet.evaluation.interval import interval_of
from motet.text import bleu_counts, bleu_of, chrf_counts, chrf_of, rouge_l_counts, rouge_l_of
from motet.training.progress import progress_for

SCORES: dict[str, tuple[Callable[[str, str], np.ndarray], Callable[[np.ndarray], float]]] = {
    "chrf": (chrf_counts, chrf_of),
    "bleu": (bleu_counts, bleu_of),
    "rouge_l": (rouge_l_counts, rouge_l_of),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--valid", action="store_true", help="score the validation rows; the test rows are not read")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a change to the experiment")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = sentences("val" if arguments.valid else "test")
    with tempfile.TemporaryDirectory() as folder:
        begun, used = time.monotonic(), time.process_time()
        run = motet.fit(experiment(table), out=Path(folder) / "run", changes=arguments.set, progress=progress_for())
        minutes, cpu = (time.monotonic() - begun) / 60, (time.process_time() - used) / 60
        ours = json.loads((run.folder / "report.json").read_text())["tasks"]["de"]["metrics"]
        for row in table.filter(pc.not_equal(table["split"], "train")).slice(0, 3).to_pylist():
            print(f"\n{row['en']}\n  written {run.model.predict([row])[0]['de']}\n  true    {row['de']}")
    theirs = nearest(table)
    print(f"\n{minutes:.1f} minutes, {cpu:.1f} of one processor\n\n| side | {' | '.join(SCORES)} |\n|---|---|---|---|")
    print(f"| motet | {shown(ours)} |\n| nearest caption | {shown(theirs)} |")


def sentences(scored: str) -> pa.Table:
    """The training captions, those that validate and, where they are asked for, those that test."""
    table = pq.read_table(study.data_folder() / "multi30k_text" / "sentences.parquet", columns=["en", "de", "split"])
    return table.filter(pc.is_in(table["split"], pa.array(["train", "val", scored])))


def experiment(table: pa.Table) -> dict[str, Any]:
    """A recurrent encoder and a transformer decoder, both small and trained from scratch."""
    return {
        "data": {"train": table, "split": "split"},
        "inputs": {
            "en": {
                "kind": "text",
                "lowercase": False,
                "vocabulary": 4000,
                "encoder": {"kind": "gru", "layers": 1},
                "width": 128,
                "dropout": 0.1,
                "word_dropout": 0.0,
            }
        },
        "tasks": {"de": {"kind": "generation", "vocabulary": 4000, "width": 128, "layers": 2, "dropout": 0.1}},
        "training": {
            "epochs": 10,
            "batch_size": 64,
            "learning_rate": 3e-3,
            "schedule": "cosine",
            "warmup": 0.1,
            "average": 0.99,
            "device": "cpu",
        },
    }


def nearest(table: pa.Table) -> dict[str, dict[str, float]]:
    """What the German of the nearest training caption scores, with a bootstrap over rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    trains = table.filter(pc.equal(table["split"], "train"))
    part = "test" if "test" in table["split"].to_pylist() else "val"
    scored = table.filter(pc.equal(table["split"], part))
    words = TfidfVectorizer().fit(trains["en"].to_pylist())
    known, asked = words.transform(trains["en"].to_pylist()), words.transform(scored["en"].to_pylist())
    answers = [trains["de"][int(row)].as_py() for row in np.asarray((asked @ known.T).argmax(axis=1)).ravel()]
    found = {}
    for name, (counts, score) in SCORES.items():
        rows = np.array([counts(*pair) for pair in zip(answers, scored["de"].to_pylist(), strict=True)])
        found[name] = asdict(interval_of(partial(_of_rows, score, rows), len(rows), seed=0))
    return found


def _of_rows(score: Callable[[np.ndarray], float], rows: np.ndarray, drawn: Tensor) -> float:
    return score(rows[drawn.numpy()].sum(axis=0))


def shown(scores: Mapping[str, Mapping[str, float]]) -> str:
    found = [scores[name] for name in SCORES]
    return " | ".join(f"{one['value']:.1f} ({one['low']:.1f} to {one['high']:.1f})" for one in found)


if __name__ == "__main__":
    main()
