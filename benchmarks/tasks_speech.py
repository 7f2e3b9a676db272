"""Speech synthesis: the word and the speaker of spoken digits made into sounds, and judged by who knows the real ones.

The table is `fsdd`: the sounds are the labels, the digit's word (a text) and the speaker (a category) the inputs. The
options are motet's defaults but for what `experiment` writes. The error is that of the test sounds' spectrograms. A
classifier of digits, a motet model trained on the real sounds of the same rows, then listens to what is said for the
test rows, and for comparison to the test sounds and to these by way of their own spectrograms.
The test rows are read once.

    python benchmarks/tasks_speech.py [--seed 0]
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import motet
import study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--valid", action="store_true", help="score the validation rows; the test rows are not read")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = study.data_folder() / "fsdd"
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        table = rows(data, valid=arguments.valid)
        scored = [row for row in table if row["split"] == "test"]
        run = motet.fit(experiment(data, table, seed=arguments.seed), out=Path(folder) / "speech")
        print(run.report.to_text())
        judge = motet.fit(listener(data, table, seed=arguments.seed), out=Path(folder) / "judge").model
        said = run.model.predict([{"word": row["word"], "speaker": row["speaker"]} for row in scored])
        print(f"digits recognised, of {len(scored)} rows (by chance 0.100):")
        show("said", judge, [one["sound"] for one in said], scored)
        show("real", judge, [Path(row["sound"]).read_bytes() for row in scored], scored)
        codec = run.model.tasks["sound"][1]
        again = codec.decode(codec.batch([codec.read(row["sound"]) for row in scored])["target"])[""]
        show("real, made again from its spectrogram", judge, again, scored)
        print(f"seed {arguments.seed}, {time.perf_counter() - begun:.0f} s on one thread")


def experiment(data: Path, table: list[dict[str, str]], *, seed: int) -> motet.Experiment:
    """Word and speaker to sound."""
    return motet.Experiment(
        data={"train": [without(row, "digit") for row in table], "split": "split", "root": str(data)},
        inputs={"word": "text", "speaker": "category"},
        tasks={"sound": {"kind": "synthesis", "dropout": 0.0}},
        training={"seed": seed, "epochs": 20, "learning_rate": 2e-3, "workers": 0},
    )


def listener(data: Path, table: list[dict[str, str]], *, seed: int) -> motet.Experiment:
    """Sound to digit."""
    return motet.Experiment(
        data={"train": [without(row, "word", "speaker") for row in table], "split": "split", "root": str(data)},
        inputs={"sound": "audio"},
        tasks={"digit": "multiclass"},
        training={"seed": seed, "epochs": 12, "learning_rate": 2e-3, "workers": 0},
    )


def rows(data: Path, *, valid: bool) -> list[dict[str, str]]:
    """The training, validation and test rows; with `valid` the validation rows are the ones to be scored."""
    with open(data / "manifest.csv", encoding="utf-8") as file:
        found = [row for row in csv.DictReader(file) if not (valid and row["split"] == "test")]
    word = {"val": "test" if valid else "valid"}
    return [
        {
            "word": row["transcript"],
            "speaker": row["speaker"],
            "digit": row["digit"],
            "sound": str(data / row["wav"]),
            "split": word.get(row["split"], row["split"]),
        }
        for row in found
    ]


def without(row: dict[str, str], *names: str) -> dict[str, str]:
    return {name: cell for name, cell in row.items() if name not in names}


def show(what: str, judge: Any, sounds: Sequence[object], scored: Sequence[dict[str, str]]) -> None:
    """How many of the sounds are taken for the digit that they are to be."""
    heard = judge.predict([{"sound": sound} for sound in sounds])
    right = sum(str(one["digit"]) == row["digit"] for one, row in zip(heard, scored, strict=True))
    print(f"  {what}: {right / len(scored):.3f}")


if __name__ == "__main__":
    main()
