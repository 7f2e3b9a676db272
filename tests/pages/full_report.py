"""A report with every key that any part of motet writes, made up, so that the page can be drawn and looked at."""

import base64
import io
import math
import wave
from typing import Any

import numpy as np
from PIL import Image

from motet.evaluation import Bin, Confusion, Details, LabelScore, Mistake, Scatter, Shown

INPUTS = ("photo", "review text", "sound", "price")
TASKS = ("rating", "returned", "topics", "mood")
PRIMARY = {"rating": ("regression", "r2"), "returned": ("binary", "auroc"), "topics": ("multilabel", "micro_f1")}
PRIMARY |= {"mood": ("multiclass", "accuracy")}
CITIES = ("Rome", "Oslo", "Lima", "Kyoto", "Frankfurt an der Oder")


def bounds(value: float, half: float = 0.03) -> dict[str, float]:
    """An interval around a value."""
    return {"value": value, "low": value - half, "high": value + half}


def full_report(
    *, inputs: tuple[str, ...] = INPUTS, tasks: tuple[str, ...] = TASKS, evil: str = "", warnings: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The content of `report.json`; `evil` is appended to every text that a table can bring in."""
    kinds = dict(zip(tasks, PRIMARY.values(), strict=False))
    return {
        "rows_scored": "test",
        "tasks": {name: _task(name, *kinds[name], place, evil) for place, name in enumerate(tasks)},
        "inputs": {name: _input(place, tasks) for place, name in enumerate(inputs)},
        "subsets": _subsets(inputs, tasks),
        "subset_rows": 800,
        "relations": _relations(tasks),
        "training": {
            "rows": {"train": 9000, "valid": 1500, "test": 1500},
            "epochs": 12,
            "best_epoch": 9,
            "steps": 3400,
            "seconds": 312.4,
            "skipped_steps": {},
            "gain": 0.61,
            "fusion": "gated",
            "sharing": "mmoe",
            "balance": "tasks dwa, modalities ogm",
            "seed": 7,
            "versions": {"motet": "0.1.0", "torch": "2.10.0"},
            "warnings": [*warnings, f"sound: 3 cells could not be read{evil}"],
            "parameters": 1_240_118,
        },
    }


def _task(name: str, kind: str, primary: str, place: int, evil: str) -> dict[str, Any]:
    value, sign = 0.71 + 0.05 * place, -1 if place == 1 else 1
    metrics = {primary: bounds(value) | {"higher_is_better": True}}
    metrics["mae" if kind == "regression" else "ece"] = bounds(0.31, 0.02) | {"higher_is_better": False}
    metrics["spearman" if kind == "regression" else "macro_f1"] = bounds(0.62) | {"higher_is_better": True}
    classes = kind != "regression"
    return {
        "kind": kind,
        "primary": primary,
        "metrics": metrics,
        "baseline": {metric: None if metric == "spearman" else 0.4 for metric in metrics},
        "baselines": {
            "linear": {"metrics": {primary: bounds(value - 0.05)}, "difference": bounds(sign * 0.05), "rows": 9000},
            "trees": {"metrics": {primary: bounds(value - 0.01)}, "difference": bounds(0.01), "rows": 5000},
        },
        "single_task": {"relative": bounds(0.031 if place == 0 else 0.002, 0.008)},
        "rows": 1500 - place,
        "tables": {f"first{evil}": dict.fromkeys(metrics, 0.6), "second": dict.fromkeys(metrics, 0.7)},
        "synergy": bounds(0.04 - 0.02 * place, 0.015) | {"additive": value - 0.04, "full": value, "rows": 800},
        "calibration": _calibration() if classes else None,
        "coverage": {
            "stated": 0.9,
            "found": bounds(0.84 if place == 0 else 0.91, 0.02),
            "size": 1.7,
            "kind": "set" if classes else "interval",
            "same_rows": place == 3,
        },
        "abstention": [
            {"kept": k / 10, "metric": primary, "rows": 150 * k, **bounds(value + 0.02 * (10 - k), 0.01 + k / 500)}
            for k in range(1, 11)
        ],
        "subgroups": {
            f"city{evil}": [
                {
                    "value": city + evil,
                    "rows": 90 * n,
                    "metric": bounds(0.6 + n / 50),
                    "difference": bounds(n / 20 - 0.1),
                }
                for n, city in enumerate(CITIES, start=1)
            ]
        },
        "slices": [
            {"where": [["city", city + evil], ["price", "12.5 to 40"]][: 1 + n % 2], "rows": 60 + n}
            | {"by": primary}
            | {"metric": bounds(0.4 + n / 20), "difference": bounds(-0.3 + n / 20)}
            for n, city in enumerate(CITIES[:3])
        ],
        "suspects": [
            {"row": f"reviews.csv:{40 + n}{evil}", "label": f"no{evil}", "answer": f"yes{evil}"}
            | {"probability": 0.99 - n / 50, "margin": n / 25 - 0.97}
            for n in range(5)
        ],
    }


def _calibration() -> dict[str, Any]:
    edges = [0.5 + n / 10 for n in range(5)]
    return {
        "before": 0.122,
        "after": 0.021,
        "temperature": 1.84,
        "same_rows": False,
        "fitted_on": "valid",
        "bins": [{"confidence": e + 0.05, "accuracy": e + 0.04, "rows": 200} for e in edges],
        "bins_before": [{"confidence": e + 0.05, "accuracy": e - 0.08, "rows": 200} for e in edges],
    }


def _input(place: int, tasks: tuple[str, ...]) -> dict[str, Any]:
    def each(scale: float) -> dict[str, Any]:
        return {task: bounds(scale * (0.2 - 0.06 * place) * (1 + n / 4), 0.02) for n, task in enumerate(tasks)}

    curve = [{"level": n / 4, **bounds(0.75 - (4 - place) * n / 40)} for n in range(5)]
    gone = [{"rate": n / 4, **bounds(0.75 - (4 - place) * n / 30)} for n in range(5)]
    return {
        "present_fraction": 1.0 - 0.07 * place,
        "contribution": each(1.0 if place < 3 else -0.1),
        "method": "shapley",
        "alone": {task: bounds(0.6 - 0.1 * place) for task in tasks},
        "permuted": each(0.8 if place < 3 else 0.0),
        "robustness": {
            task: {
                "noise": curve,
                "absence": gone,
                "relative": bounds(0.8 + place / 20),
                "effective": bounds(0.02 * place - 0.01),
            }
            for task in tasks
        },
    }


def _subsets(inputs: tuple[str, ...], tasks: tuple[str, ...]) -> list[dict[str, Any]]:
    found = []
    for mask in range(2 ** len(inputs)):
        given = [name for place, name in enumerate(inputs) if mask >> place & 1]
        found.append({"inputs": given, "metrics": {t: 0.3 + len(given) / 10 + n / 50 for n, t in enumerate(tasks)}})
    return found


def _relations(tasks: tuple[str, ...]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    affinity: dict[str, Any] = {}
    for i, task in enumerate(tasks):
        for j, other in enumerate(tasks):
            if i < j:
                one = {"cosine": 0.5 - 0.22 * (i + j), "conflicts": 0.12 * (i + j), "steps": 85}
                pairs.setdefault(task, {})[other] = one
            if i != j:
                affinity.setdefault(task, {})[other] = {"mean": 0.004 - 0.001 * (i + j), "steps": 85}
    return {"tasks": list(tasks), "at": "parameters", "every": 40, "pairs": pairs, "affinity": affinity}


def log_lines(tasks: tuple[str, ...] = TASKS, inputs: tuple[str, ...] = INPUTS) -> list[dict[str, Any]]:
    """The lines of `log.jsonl`: steps with weights and factors, epochs with validations and cosines."""
    primary = dict(zip(tasks, (metric for _, metric in PRIMARY.values()), strict=False))
    lines: list[dict[str, Any]] = []
    for step in range(1, 601):
        ripple = 0.3 * math.sin(7.1 * step)
        lines.append(
            {"step": step, "epoch": 1 + (step - 1) // 100}
            | {"losses": {task: 2 / (1 + step / 90) + (n + ripple) / 8 for n, task in enumerate(tasks)}}
            | {"weights": {task: 1 + n / 5 * math.sin(step / 80 + n) for n, task in enumerate(tasks)}}
            | {"factors": {name: min(1.0, 0.4 + step / 600 + n / 8) for n, name in enumerate(inputs)}}
        )
        if step % 100 == 0:
            lines.append(
                {
                    "step": step,
                    "epoch": step // 100,
                    "train": dict.fromkeys(tasks, 2 / (1 + step / 90)),
                    "gain": step / 900,
                }
                | {"valid": {task: {primary[task]: 0.75 - 40 / (step + 100)} for task in tasks}}
                | {
                    "cosines": {
                        a: {b: 0.4 - step / 2400 * (i + 1) - len(b) / 40 for b in tasks[i + 1 :]}
                        for i, a in enumerate(tasks)
                    }
                }
            )
    return lines


def full_details(
    *, tasks: tuple[str, ...] = TASKS, inputs: tuple[str, ...] = INPUTS, evil: str = ""
) -> dict[str, Details]:
    """Something of every kind for each kind of task."""
    cells = [
        Shown(inputs[0], "picture", picture(0), picture(1)),
        Shown(inputs[1], "text", f"Broke after two days{evil}", words(evil)),
        Shown(inputs[2], "sound", sound(), picture(2)),
        Shown(inputs[3], "text", f"19.99{evil}"),
    ]
    brought = dict(zip(inputs, (0.31, -0.12, 0.05, 0.0), strict=True))
    wrong = [
        Mistake(
            f"reviews.csv:{n}{evil}",
            f"true {n}{evil}",
            f"answer {n}{evil}",
            0.9 - n / 20 if n % 2 else None,
            cells,
            brought,
        )
        for n in range(4)
    ]
    bins = [Bin(0.55 + n / 10, 0.5 + n / 10, 30 + n) for n in range(5)]
    draw = np.random.default_rng(0)
    truth = draw.normal(size=120)
    answer = truth + draw.normal(size=120) / 3
    names = [f"calm{evil}", "glad", "a rather long mood", "sad"]
    made = [
        Details(scatter=Scatter(truth.tolist(), answer.tolist(), 0.6), mistakes=wrong),
        Details(
            confusion=Confusion([f"no{evil}", "yes"], [[600, 80], [120, 699]]), reliability=bins, mistakes=wrong[:2]
        ),
        Details(
            labels=[LabelScore(f"topic {n}{evil}", 90 - 9 * n, 0.9 - n / 12) for n in range(6)], mistakes=wrong[2:]
        ),
        Details(
            confusion=Confusion(names, [[9, 1, 0, 2], [3, 30, 1, 0], [0, 5, 12, 2], [1, 0, 0, 55]]), reliability=bins
        ),
    ]
    return dict(zip(tasks, made, strict=False))


def words(evil: str) -> list[tuple[str, float]]:
    """Pieces of a text with their weights."""
    return [("Broke ", 0.9), ("after ", 0.0), ("two ", -0.3), ("days", 0.35), (evil, -0.8)]


def picture(kind: int) -> str:
    """A small picture as a data URI."""
    y, x = np.mgrid[0:48, 0:64]
    far = np.hypot(x - 20 - 10 * kind, y - 24) / 48
    red = np.stack([255 * (1 - far), 120 * far if kind else 200 * far, 90 + 100 * far], axis=-1).clip(0, 255)
    out = io.BytesIO()
    Image.fromarray(red.astype(np.uint8)).save(out, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


def sound() -> str:
    """A short tone as a data URI."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes((8000 * np.sin(np.arange(800) / 3)).astype("<i2").tobytes())
    return f"data:audio/wav;base64,{base64.b64encode(out.getvalue()).decode()}"
