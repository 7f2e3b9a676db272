"""The table of the five founding systems: that of `motet demo`, and of each scan a relief, a mask and vectors.

    python examples/founding/make_data.py [FOLDER] [--rows 1500]

A row is an order slip for one small number: a scan of a handwritten digit, the tone of its key, its misspelt word, a
price. Beside them `relief` is a second picture, as a depth camera might take it (the scan blurred, with noise of its
own), `mask` says which pixels are ink, `scan_vector` and `word_vector` are ready-made vectors of scan and word.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image

from motet.run.demo_data import make_demo_table

INK = 100
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "data")
    parser.add_argument("--rows", type=int, default=1500)
    arguments = parser.parse_args()
    print(f"made {make_table(arguments.folder, rows=arguments.rows)}")


def make_table(folder: Path, *, rows: int) -> Path:
    """Write the demo's table into the folder, then the further columns; the same folder gives the same bytes."""
    table = make_demo_table(folder, rows=rows)
    with table.open(encoding="utf-8", newline="") as file:
        slips = list(csv.DictReader(file))
    chance = np.random.default_rng(0)
    for name in ("relief", "mask"):
        (folder / name).mkdir(exist_ok=True)
    for slip in slips:
        slip |= {"relief": "", "mask": "", "scan_vector": "", "word_vector": ""}
        if slip["scan"]:
            slip |= of_scan(folder, slip["scan"], chance)
        if slip["word"]:
            counts = [slip["word"].count(letter) for letter in LETTERS]
            slip["word_vector"] = "|".join(map(str, counts))
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(slips[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(slips)
    return table


def of_scan(folder: Path, scan: str, chance: np.random.Generator) -> dict[str, str]:
    """A relief, a mask and a vector of one scan."""
    pixels = np.asarray(Image.open(folder / scan))
    patches = np.lib.stride_tricks.sliding_window_view(np.pad(pixels, 1, mode="edge"), (3, 3))
    relief = patches.mean(axis=(2, 3)) + chance.normal(0, 20, pixels.shape)
    ink = np.median(patches, axis=(2, 3)) > INK
    paths = {name: scan.replace("scan", name) for name in ("relief", "mask")}
    Image.fromarray(relief.clip(0, 255).astype(np.uint8)).save(folder / paths["relief"])
    Image.fromarray(ink.astype(np.uint8)).save(folder / paths["mask"])
    quarters = pixels.reshape(4, 2, 4, 2).mean(axis=(1, 3)).round(1)
    return paths | {"scan_vector": "|".join(map(str, quarters.reshape(-1).tolist()))}


if __name__ == "__main__":
    main()
