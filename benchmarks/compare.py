"""`motet compare` on two real tables: five ways of fusion on degraded digits, four balancers on a census.

Reads the folder named by MOTET_DATA (default: ../shared/data beside the repository). It writes table and experiment
into runs/compare_study/, says the command, and runs it; a second call goes on where the first was stopped, by a kill
too. The digits are those of the studies (study_tables.py): pictures of 8 x 8 grey pixels, sounds in noise of their own
loudness, 2,000 training rows; the census has 3,000 (task_tables.py).

    python benchmarks/compare.py digits | census [--seeds 3] [--minutes 30] [--print]
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

import study
import study_tables
import task_tables

OUT = study.ROOT / "runs" / "compare_study"


def main() -> None:
    """Write the experiment, say the command, and run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("of", choices=sorted(STUDIES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument(
        "--print", action="store_true", dest="only", help="write the experiment and say the command only"
    )
    options = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    document, over = STUDIES[options.of](study.data_folder())
    path, out = OUT / f"{options.of}.yaml", OUT / options.of
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    words = ["compare", str(path), *(word for one in over for word in ("--over", one))]
    words += ["--seeds", str(options.seeds), "--out", str(out), "--resume"]
    words += [] if options.minutes is None else ["--minutes", str(options.minutes)]
    print(f"motet {shlex.join(words)}", flush=True)
    if not options.only:
        from motet.cli import main as motet

        sys.argv[1:] = words
        motet()


def digits(data: Path) -> tuple[dict[str, Any], list[str]]:
    """Five fusions, and one model per task: which digit, odd or even, who speaks."""
    table = study_tables.av_digits(data, OUT, grey=8, noise_db=0.0)
    inputs = {
        "image": {"kind": "image", "first": 8, "width": 32},
        "audio": {"kind": "audio", "channels": 16, "width": 32, "mels": 40, "hop": 20.0},
    }
    tasks = {"digit": "multiclass", "parity": "binary", "speaker": "multiclass"}
    return document(table, inputs, tasks, epochs=8), ["fusion=concat,gated,film,late,bottleneck", "single"]


def census(data: Path) -> tuple[dict[str, Any], list[str]]:
    """Four balancers between income, marital status and education."""
    table, inputs, tasks = task_tables.adult(data, OUT)
    return document(table, inputs, tasks, epochs=8), ["balance.tasks=fixed,uncertainty,nash,pcgrad"]


def document(table: Path, inputs: dict[str, Any], tasks: dict[str, Any], *, epochs: int) -> dict[str, Any]:
    """The same for every variant: so many epochs, the best on validation kept, everything else as it comes."""
    return {
        "data": {"train": str(table), "split": "split"},
        "inputs": inputs,
        "tasks": tasks,
        "training": {"epochs": epochs, "patience": None, "device": "cpu"},
    }


STUDIES = {"digits": digits, "census": census}


if __name__ == "__main__":
    main()
