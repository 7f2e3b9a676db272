"""Dates, sets and series in a table: proposed, checked, trained, predicted, loaded again, and refused."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

import motet
from motet.core.errors import DataError
from motet.data import read_table
from motet.spec.propose import propose

CNN = {"kind": "cnn", "channels": 4, "blocks": 1}
SMALL: dict[str, Any] = {"kind": "series", "width": 4, "encoder": CNN}
INPUTS: dict[str, dict[str, Any]] = {
    "when": {"kind": "datetime", "width": 4},
    "tags": {"kind": "set", "width": 4},
    "level": SMALL,
    "walk": {**SMALL, "encoder": {"kind": "transformer", "layers": 1, "heads": 2}},
    "blood": {**SMALL, "columns": ["sugar", "pressure", "hour"], "times": "hour"},
    "sensor": {**SMALL, "columns": "el_*"},
    "frames": {**SMALL, "files": True},
    "pages": {**SMALL, "values": "categories"},
    "radar": {"kind": "series", "width": 4, "order": False, "encoder": {"kind": "transformer", "layers": 1}},
}
REST: dict[str, Any] = {
    "data": {"valid": 0.2, "test": 0.2},
    "tasks": {"bought": "binary"},
    "fusion": {"kind": "concat", "width": 8},
    "sharing": {"kind": "hard", "width": 8},
    "training": {"epochs": 1, "batch_size": 8, "workers": 0},
}


def write_table(folder: Path, *, num_rows: int = 24, bad: dict[int, dict[str, Any]] | None = None) -> Path:
    chance = np.random.default_rng(0)
    rows = []
    (folder / "frames").mkdir(exist_ok=True)
    for row in range(num_rows):
        steps = 2 + row % 3
        np.save(folder / f"frames/{row}.npy", chance.normal(size=(steps, 3)).astype(np.float32))
        rows.append(
            {
                "when": datetime(2024, 1, 1, 8, tzinfo=UTC) + timedelta(hours=7 * row),
                "tags": [["red", "old"], [], ["old"]][row % 3],
                "level": chance.normal(size=steps).tolist(),
                "walk": chance.normal(size=(steps, 2)).tolist(),
                "sugar": [*chance.normal(size=steps - 1).tolist(), None],
                "pressure": chance.normal(size=steps).tolist() if row % 2 else None,
                "hour": np.arange(steps).tolist(),
                **{f"el_{step}": float(chance.normal()) if (row + step) % 5 else None for step in range(3)},
                "frames": f"frames/{row}.npy",
                "pages": [["home", "shop"], ["shop"], ["home", "home", "cart"]][row % 3],
                "radar": chance.normal(size=(steps, 2)).tolist(),
                "bought": row % 2,
            }
        )
        rows[row] |= dict.fromkeys([name for name in ("when", "tags", "level", "walk") if row % 7 == 3]) if row else {}
        rows[row] |= (bad or {}).get(row, {})
    pq.write_table(pa.Table.from_pylist(rows), folder / "table.parquet")
    return folder / "table.parquet"


def experiment(table: Path) -> dict[str, Any]:
    return {**REST, "data": {"train": str(table), **REST["data"]}, "inputs": INPUTS}


def test_they_are_trained_predicted_and_loaded_again(tmp_path: Path) -> None:
    run = motet.fit(experiment(write_table(tmp_path)), out=tmp_path / "run")
    resolved = yaml.safe_load((tmp_path / "run" / "experiment.yaml").read_text())["inputs"]
    assert resolved["sensor"]["columns"] == ["el_0", "el_1", "el_2"]
    assert resolved["level"]["max_steps"] == 4
    assert resolved["when"]["cycles"] == ["day", "week", "month", "year"]
    rows: list[dict[str, Any]] = [
        {
            "when": "2024-03-01T08:00Z",
            "tags": ["red"],
            "level": [1, None, 2],
            "walk": [[1, 2]],
            "pages": ["never seen"],
        },
        {"blood": None, "sugar": [1.0], "pressure": [None], "hour": [0], "el_1": 3, "radar": [], "tags": []},
        {"level": None},
    ]
    one, other = run.model.predict(rows), motet.load(tmp_path / "run").predict(rows)
    assert one == other
    alone = [run.model.predict([row])[0]["bought__probability"] for row in rows]
    assert [row["bought__probability"] for row in one] == pytest.approx(alone, abs=1e-5)


def test_bad_cells_are_named(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "bad.npy").write_bytes(b"\x93NUMPY is no array")
    bad = {1: {"frames": "frames/bad.npy"}, 2: {"frames": "../elsewhere.npy"}, 5: {"sugar": [1.0] * 9}}
    with pytest.raises(DataError) as caught:
        motet.fit(experiment(write_table(tmp_path, bad=bad)), out=tmp_path / "run")
    for reason in ("2:frames: not a whole .npy array", "3:frames: the path leads out", "the columns have"):
        assert reason in str(caught.value)


def test_init_proposes_them(tmp_path: Path) -> None:
    rows = [
        {
            "at": f"{1 + n % 28}.{1 + n % 3}.2024",
            "iso": f"2024-01-{1 + n % 28:02d} 10:{n:02d}",
            "unclear": f"0{1 + n % 9}/04/2024",
            "tags": ["red|old", "old", "red"][n % 3],
            "level": "|".join(["1.5", "2.5", "0.5"][: 2 + n % 2]) + f"|{n}",
            "walk": json.dumps([[n, 1.5]]),
            "steps": [1.0 * n] * (1 + n % 3),
            "bought": ["yes", "no"][n % 2],
        }
        for n in range(40)
    ]
    text = propose(read_table(rows), path=Path("t.csv"), folder=Path(), tasks=["bought"])
    assert yaml.safe_load(text)["inputs"] == {
        "at": {"kind": "datetime", "format": "%d.%m.%Y"},
        "iso": "datetime",
        "tags": "set",
        "level": "series",
        "walk": "series",
        "steps": "series",
    }
    assert "unclear: dates that may be read in several ways" in text
