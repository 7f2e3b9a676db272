"""Every field of every Spec does something: changing it changes what is trained, answered, reported or written.

What is compared never holds the experiment itself. A new field fails here until the table says how to see it.
"""

import csv
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from pydantic import BaseModel
from tests.inputs.pretrained_models import save_audio_model, save_image_model, save_text_model, save_video_model

import motet
from motet.core.component import Frozen
from motet.core.errors import MotetError, SpecError
from motet.data import DataSpec, TableSpec
from motet.evaluation.spec import EvaluationSpec
from motet.spec import ROOMS, Balance, load
from motet.training.spec import TrainingSpec

Document = dict[str, Any]
BASE: Document = {
    "data": {"train": "table.csv", "valid": 0.3, "test": 0.2},
    "inputs": {"age": {"kind": "number", "bins": 3, "width": 4}, "shop": {"kind": "category", "width": 4}},
    "tasks": {"price": "regression", "bought": "binary"},
    "fusion": {"kind": "concat", "width": 8},
    "sharing": {"kind": "hard", "width": 8},
    "training": {"epochs": 1, "batch_size": 8},
    "evaluation": {"resamples": 5},
}


@dataclass(frozen=True)
class Change:
    """A field's other value; `given`, what else the paragraph must say for it to matter; `rest`, what other rooms must;
    `refused`, what the error says where the value can only be refused."""

    value: Any
    given: Mapping[str, Any] = field(default_factory=dict)
    rest: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""


def common(column: str, other: str, missing: str) -> dict[str, Change]:
    """What all inputs share, for a kind that reads `column` and could read `other`."""
    return {
        "column": Change(other),
        "columns": Change([other], {"column": None}),
        "missing": Change([missing]),
        "drop": Change(0.5),
        "drop_rise": Change(1.0, {"drop": 0.5}),
        "share": Change("twin", {"share": None}),
    }


DROPOUT = {"dropout": Change(0.5)}
SMALL_TEXT = {"vocabulary": 270, "width": 4}
DECIDES = {"rule": Change("product"), "auxiliary": Change(0.5)}
TASK = {"weight": Change(3.0)}
ATTENDS = {"width": Change(6), "layers": Change(3), "heads": Change(4), **DROPOUT}

INPUTS: dict[str, tuple[Document, dict[str, Change]]] = {
    "image": (
        {"column": "photo", "first": 4, "width": 4},
        {
            **common("photo", "print", "media/photo2.png"),
            "separator": Change(";", {"column": "album"}, refused="names a file that is there"),
            "size": Change([6, 5]),
            "channels": Change(3),
            "crop": Change(0.4),
            "flip": Change(True),
            "zoom": Change(0.3),
            "jitter": Change(0.3),
            "augment": Change("randaugment"),
            "encoder": Change("hog"),
            "first": Change(8),
            "width": Change(6),
            **DROPOUT,
        },
    ),
    "audio": (
        {"column": "tone", "channels": 4, "blocks": 1, "width": 4},
        {
            **common("tone", "noise", "media/tone2.wav"),
            "rate": Change(4000),
            "seconds": Change(0.02),
            "mels": Change(8),
            "window": Change(10.0),
            "hop": Change(5.0),
            "mask": Change(0.5),
            "shift": Change(0.5),
            "encoder": Change("mfcc"),
            "channels": Change(6),
            "blocks": Change(2),
            "width": Change(6),
            **DROPOUT,
        },
    ),
    "text": (
        {"column": "note", **SMALL_TEXT},
        {
            **common("note", "shop", "Good"),
            "vocabulary": Change(262),
            "lowercase": Change(False),
            "stop_words": Change("en"),
            "max_tokens": Change(1),
            "words": Change(True),
            "spelling": Change(True),
            "encoder": Change("transformer"),
            "width": Change(6),
            "dropout": Change(0.6),
            "word_dropout": Change(0.6),
        },
    ),
    "number": (
        {"column": "age", "bins": 3, "width": 4},
        {
            **common("age", "size", "40"),
            "scaling": Change("quantile"),
            "encoding": Change("linear"),
            "bins": Change(5),
            "width": Change(6),
        },
    ),
    "category": (
        {"column": "shop", "width": 4},
        {**common("shop", "note", "north"), "min_count": Change(12), "unseen": Change(0.5), "width": Change(6)},
    ),
    "vector": (
        {"column": "place", "width": 4},
        {
            **common("place", "route", "1|1"),
            "separator": Change(";", refused="not a number"),
            "width": Change(6),
            "layers": Change(0),
            **DROPOUT,
        },
    ),
    "datetime": (
        {"column": "when", "width": 4},
        {
            **common("when", "seen", "2024-01-03"),
            "format": Change("%d.%m.%Y", refused="not a date as `format`"),
            "cycles": Change(["year"]),
            "width": Change(6),
        },
    ),
    "set": (
        {"column": "tags", "width": 4},
        {
            **common("tags", "shop", "new"),
            "separator": Change(";"),
            "most": Change(1),
            "tokens": Change(True),
            "pool": Change("mean"),
            "unseen": Change(0.5),
            "width": Change(6),
            **DROPOUT,
        },
    ),
    "series": (
        {"column": "walk", "width": 4, "encoder": {"kind": "cnn", "channels": 4, "blocks": 1}},
        {
            **common("walk", "route", "[[0, 0]]"),
            "values": Change("categories", {"column": "route"}),
            "times": Change(True),
            "order": Change(False, {"encoder": "auto"}),
            "files": Change(True, refused="names a file that is there"),
            "separator": Change(";", {"column": "route"}, refused="not a number"),
            "max_steps": Change(1),
            "most": Change(1, {"values": "categories", "column": "route"}),
            "jitter": Change(0.5),
            "encoder": Change("transformer"),
            "width": Change(6),
            **DROPOUT,
        },
    ),
    "video": (
        {"column": "album", "first": 4, "width": 4, "encoder": {"kind": "cnn2d", "layers": 1, "heads": 2}},
        {
            **common("album", "film", "media/photo2.png|media/print2.png"),
            "separator": Change(";", refused="names a file that is there"),
            "frames": Change(1),
            "rate": Change(0.1, {"column": "film"}),
            "size": Change([6, 5]),
            "channels": Change(3),
            "crop": Change(0.4),
            "flip": Change(True),
            "encoder": Change("cnn3d"),
            "first": Change(8),
            "width": Change(6),
            **DROPOUT,
        },
    ),
}
TUNED = {
    "model": Change("models/distilbert"),
    "tune": Change("full"),
    "output": Change("mean"),
    "layer_decay": Change(0.5, {"tune": "full"}),
    "rank": Change(2, {"tune": "lora"}),
}
ENCODERS: dict[str, dict[str, tuple[Document, dict[str, Change]]]] = {
    "audio": {
        "cnn": ({}, {}),
        "mfcc": ({}, {"coefficients": Change(5)}),
        "pretrained": ({"model": "models/wavlm"}, TUNED | {"model": Change("models/hubert")}),
    },
    "image": {
        "cnn": ({}, {}),
        "vit": ({"layers": 1, "heads": 2}, {"patch": Change(2), "layers": Change(2), "heads": Change(4)}),
        "hog": ({"cell": 3}, {"cell": Change(2), "bins": Change(4)}),
        "pretrained": ({"model": "models/vit"}, TUNED | {"model": Change("models/resnet")}),
    },
    "series": {
        "cnn": ({"channels": 4, "blocks": 1}, {"channels": Change(6), "blocks": Change(2)}),
        "transformer": ({"layers": 1, "heads": 2}, {"layers": Change(2), "heads": Change(4)}),
    },
    "video": {
        "cnn2d": ({"layers": 1, "heads": 2}, {"layers": Change(2), "heads": Change(4)}),
        "cnn3d": ({}, {}),
        "pretrained": ({"model": "models/videomae"}, TUNED | {"model": Change("models/vjepa2")}),
    },
    "text": {
        "gru": ({}, {"layers": Change(2)}),
        "transformer": ({"layers": 1, "heads": 2}, {"layers": Change(2), "heads": Change(4)}),
        "tfidf": (
            {},
            {
                "ngrams": Change([1, 1]),
                "most": Change(3),
                "characters": Change(True),
                "sublinear": Change(True, {"characters": True, "ngrams": [1, 1]}),
            },
        ),
        "pretrained": ({"model": "models/bert"}, TUNED),
        "minilm": ({"model": "models/bert"}, TUNED),
    },
}
"""The encoders of an input that has several."""
AUGMENT: dict[str, tuple[Document, dict[str, Change]]] = {
    "randaugment": ({}, {"operations": Change(1), "magnitude": Change(0.6)}),
}
FUSION: dict[str, tuple[Document, dict[str, Change]]] = {
    "auto": ({}, {}),
    "concat": (
        {"width": 8},
        {
            "width": Change(6),
            "layers": Change(2),
            "level": Change("map"),
            "places": Change(4, {"level": "map"}),
            **DROPOUT,
        },
    ),
    "weighted": ({"width": 8}, {"width": Change(6), "per_row": Change(True), **DROPOUT}),
    "gated": ({"width": 8}, {"width": Change(6), "gates": Change("softmax"), **DROPOUT}),
    "film": ({"width": 8}, {"width": Change(6), "conditioned": Change("age"), **DROPOUT}),
    "deepset": ({"width": 8}, {"width": Change(6), "pool": Change("max"), "layers": Change(3), **DROPOUT}),
    "bilinear": (
        {"width": 8},
        {"width": Change(6), "form": Change("mfb"), "rank": Change(2, {"form": "mfb"}), **DROPOUT},
    ),
    "tensor": (
        {"width": 8},
        {
            "width": Change(6),
            "narrow": Change(2),
            "order": Change(1),
            "most": Change(23, refused="fusion.most"),
            **DROPOUT,
        },
    ),
    "lowrank": ({"width": 8}, {"width": Change(6), "rank": Change(2), **DROPOUT}),
    "crossattention": ({"width": 8, "heads": 2}, {"pairs": Change([["age", "shop"]]), **ATTENDS}),
    "coattention": ({"width": 8, "heads": 2}, ATTENDS),
    "bottleneck": (
        {"width": 8, "heads": 2},
        {"from_layer": Change(1, {"layers": 3}), "bottlenecks": Change(2), **ATTENDS},
    ),
    "transformer": ({"width": 8, "heads": 2}, ATTENDS),
    "perceiver": ({"width": 8, "heads": 2}, {"latents": Change(4), **ATTENDS}),
    "latent": (
        {"width": 8},
        {
            "width": Change(6),
            "align": Change("none"),
            "weight": Change(1.0),
            "decode": Change(True),
            "decode_weight": Change(1.0, {"decode": True}),
            "layers": Change(1),
            **DROPOUT,
        },
    ),
    "factors": (
        {"width": 8, "rank": 4},
        {"width": Change(6), "rank": Change(3), "ridge": Change(1.0), "weight": Change(1.0), **DROPOUT},
    ),
    "rbm": (
        {"width": 8, "hidden": 4, "joint": 4},
        {"width": Change(6), "hidden": Change(3), "joint": Change(3), "weight": Change(1.0), **DROPOUT},
    ),
    "late": (
        {"width": 8},
        {
            "width": Change(6),
            "weights": Change({"age": 5, "shop": 1}),
            "separate": Change(True),
            "folds": Change(2, {"rule": "stacking"}),
            **DECIDES,
        },
    ),
    "hybrid": (
        {"fusion": {"kind": "concat", "width": 8}},
        {
            "fusion": Change({"kind": "weighted", "width": 8}),
            "weights": Change({"joint": 1, "age": 5, "shop": 1}),
            **DECIDES,
        },
    ),
}
BEHIND_TRUNK = {"branch": Change(3), "width": Change(6), "layers": Change(0), **DROPOUT}
SHARING: dict[str, tuple[Document, dict[str, Change]]] = {
    "hard": ({"width": 8}, {"width": Change(6), "layers": Change(2), **DROPOUT}),
    "soft": (
        {"width": 8},
        {"width": Change(6), "layers": Change(2), "distance": Change("trace"), "strength": Change(1.0), **DROPOUT},
    ),
    "crossstitch": (
        {"width": 8},
        {"width": Change(6), "layers": Change(1), "per": Change("layer"), "own": Change(0.5), **DROPOUT},
    ),
    "mmoe": ({"width": 8}, {"experts": Change(3), "width": Change(6), "layers": Change(2), **DROPOUT}),
    "ple": (
        {"width": 8},
        {
            "levels": Change(1),
            "shared": Change(1),
            "private": Change(2),
            "width": Change(6),
            "layers": Change(2),
            **DROPOUT,
        },
    ),
    "dselect": (
        {"width": 8},
        {
            "experts": Change(3),
            "selected": Change(1),
            "per_row": Change(False),
            "gamma": Change(0.5),
            "strength": Change(1.0),
            "width": Change(6),
            "layers": Change(2),
            **DROPOUT,
        },
    ),
    "relation": (
        {"width": 8, "branch": 4, "every": 1},
        {
            "strength": Change(1.0),
            "norm": Change(1.0),
            "bias": Change(1.0),
            "every": Change(2),
            "ridge": Change(1.0),
            **BEHIND_TRUNK,
        },
    ),
    "clustered": (
        {"width": 8, "branch": 4, "every": 1},
        {
            "clusters": Change(1),
            "mean": Change(1.0),
            "between": Change(0.05),
            "within": Change(3.0, {"clusters": 1}),
            "bias": Change(1.0),
            "every": Change(2),
            **BEHIND_TRUNK,
        },
    ),
    "factorised": (
        {"width": 8, "branch": 4},
        {
            "form": Change("tt"),
            "feature_rank": Change(2),
            "branch_rank": Change(2),
            "task_rank": Change(1),
            "bias": Change(1.0),
            **BEHIND_TRUNK,
        },
    ),
    "selection": (
        {"width": 8, "branch": 4},
        {"strength": Change(1.0), "smoothing": Change(1.0), **BEHIND_TRUNK},
    ),
    "adapter": (
        {"width": 8},
        {
            "place": Change("inside"),
            "rank": Change(2),
            "strength": Change(1.0),
            "width": Change(6),
            "layers": Change(0),
            **DROPOUT,
        },
    ),
}
RARE = {"focal": Change(2.0), "smoothing": Change(0.2)}
"""What tasks of classes do about those that are rare."""
TASKS: dict[str, tuple[Document, dict[str, Change]]] = {
    "binary": (
        {"column": "bought"},
        {
            "column": Change("paid"),
            "columns": Change(["bought"], {"column": None}, refused="one `column`"),
            "missing": Change(["no", "?"], refused="nothing to learn"),
            "metric": Change("accuracy"),
            "positive": Change("no"),
            "class_weights": Change({"yes": 3.0}),
            "coverage": Change(0.5),
            **RARE,
            **TASK,
        },
    ),
    "multiclass": (
        {"column": "shop"},
        {
            "column": Change("bought"),
            "columns": Change(["shop"], {"column": None}, refused="one `column`"),
            "missing": Change(["north"]),
            "metric": Change("macro_f1"),
            "class_weights": Change("balanced"),
            "coverage": Change(0.5),
            **RARE,
            **TASK,
        },
    ),
    "multilabel": (
        {"column": "tags"},
        {
            "column": Change("shop"),
            "columns": Change(["is_new", "is_old"], {"column": None}),
            "missing": Change(["new|old"]),
            "metric": Change("hamming"),
            "separator": Change(";"),
            "class_weights": Change("balanced"),
            **RARE,
            **TASK,
        },
    ),
    "ordinal": (
        {"column": "price"},
        {
            "column": Change("is_new"),
            "columns": Change(["price"], {"column": None}, refused="one `column`"),
            "missing": Change(["11"]),
            "metric": Change("mae"),
            "levels": Change([14, 13, 12, 11, 10, 9]),
            "coverage": Change(0.5),
            **TASK,
        },
    ),
    "count": (
        {"column": "price"},
        {
            "column": Change("owner"),
            "columns": Change(["price"], {"column": None}, refused="one `column`"),
            "missing": Change(["11"]),
            "metric": Change("mae"),
            "dispersion": Change(0.5),
            "interval": Change(0.5),
            **TASK,
        },
    ),
    "regression": (
        {"column": "price"},
        {
            "column": Change("size"),
            "columns": Change(["price", "size"], {"column": None}),
            "missing": Change(["11"]),
            "metric": Change("mae"),
            "error": Change("absolute"),
            "quantiles": Change([0.2, 0.5, 0.8], {"error": "quantile"}),
            "beta": Change(0.0, {"error": "gaussian"}),
            "interval": Change(0.5),
            "separator": Change(";", {"column": "place"}, refused="no training row has a number"),
            "unit": Change("euro", {"unit": None}),
            "head": Change("none", rest={"sharing": {"kind": "clustered", "branch": 1}}),
            **TASK,
        },
    ),
}
PICTURES = {
    "inputs": {name: {"kind": "image", "first": 4, "width": 4, "drop": 0.0} for name in ("photo", "print")},
    "training": {**BASE["training"], "epochs": 3, "learning_rate": 0.05},
}
"""What tasks about pixels read."""
PIXELS = {
    "of": Change("print"),
    "columns": Change(["mask"], {"column": None}, refused="one `column`"),
    "width": Change(6),
    **TASK,
}
TASKS |= {
    kind: (
        {"column": column, "of": "photo", "width": 4},
        {name: replace(change, rest=PICTURES) for name, change in {**PIXELS, **own}.items()},
    )
    for kind, column, own in (
        (
            "segmentation",
            "mask",
            {
                "column": Change("relief"),
                "missing": Change(["media/mask2.png"]),
                "metric": Change("pixel_accuracy"),
                "classes": Change(["sky", "road", "car"]),
                "ignore": Change([2]),
                "class_weights": Change("balanced"),
            },
        ),
        (
            "depth",
            "relief",
            {
                "column": Change("mask"),
                "missing": Change(["media/relief2.png"]),
                "metric": Change("rmse"),
                "scale": Change(0.001),
                "invariance": Change(0.9),
            },
        ),
    )
}
WRITES = {"column": "note", "vocabulary": 270, "width": 4, "heads": 2, "layers": 1, "max_tokens": 8}
TASKS["generation"] = (
    WRITES,
    {
        "column": Change("tags"),
        "columns": Change(["note"], {"column": None}, refused="one `column`"),
        "missing": Change(["Good"]),
        "metric": Change("bleu"),
        "of": Change(["age"], rest={"inputs": BASE["inputs"]}),
        "vocabulary": Change(262),
        "lowercase": Change(True),
        "max_tokens": Change(5),
        "width": Change(6),
        "layers": Change(2),
        "heads": Change(4),
        "smoothing": Change(0.0),
        "search": Change("sample"),
        **DROPOUT,
        **TASK,
    },
)
LEARNT = {**BASE["training"], "epochs": 8, "learning_rate": 0.02}
"""Enough for what is written not to be one letter over and over."""
SEARCH: dict[str, tuple[Document, dict[str, Change]]] = {
    "greedy": ({}, {}),
    "beam": ({}, {"width": Change(1), "length_penalty": Change(9.0)}),
    "sample": (
        {},
        {"temperature": Change(0.1), "top_k": Change(1), "top_p": Change(0.1), "seed": Change(1)},
    ),
}
PAIRS = {"inputs": {name: {"kind": "number", "bins": 3, "width": 4} for name in ("age", "size", "weight")}}
"""What belongs together."""
TASKS["matching"] = (
    {"column": "owner", "between": ["age", "size"], "width": 4},
    {
        name: replace(change, rest=PAIRS)
        for name, change in {
            "column": Change("shop"),
            "columns": Change(["owner"], {"column": None}, refused="one `column`"),
            "missing": Change(["0"]),
            "metric": Change("median_rank"),
            "between": Change(["age", "weight"]),
            "objective": Change("sigmoid"),
            "width": Change(6),
            "layers": Change(1),
            "pool": Change("attention"),
            **DROPOUT,
            **TASK,
        }.items()
    },
)
TASKS["ranking"] = (
    {"column": "price", "group": "owner"},
    {
        "column": Change("is_new"),
        "columns": Change(["price"], {"column": None}, refused="one `column`"),
        "missing": Change(["11"]),
        "metric": Change("accuracy", refused="has no metric"),
        "group": Change("shop"),
        "over": Change("lists"),
        **TASK,
    },
)
TASKS["survival"] = (
    {"column": "price", "event": "is_new"},
    {
        "column": Change("late", refused="not above 0"),
        "columns": Change(["price"], {"column": None}, refused="one `column`"),
        "missing": Change(["11"]),
        "metric": Change("accuracy", refused="has no metric"),
        "event": Change("is_old"),
        "ties": Change("breslow", rest={"training": {**BASE["training"], "batch_size": 24}}),
        "horizon": Change(13.0),
        **TASK,
    },
)
ONE_COLUMN = {"columns": Change(["boxes"], {"column": None}, refused="one `column`")}
LARGER = {**PICTURES, "inputs": {name: {**one, "size": [32, 32]} for name, one in PICTURES["inputs"].items()}}
"""Pictures of several maps."""
TASKS["detection"] = (
    {"column": "boxes", "of": "photo", "width": 4},
    {
        name: replace(change, rest=LARGER)
        for name, change in {
            "column": Change("marks"),
            "missing": Change(["[]"]),
            "metric": Change("accuracy", refused="has no metric"),
            "of": Change("print"),
            "unit": Change("fractions", {"column": "marks"}),
            "width": Change(6),
            "stride": Change(8),
            "most": Change(1),
            **ONE_COLUMN,
            **TASK,
        }.items()
    },
)
TONES = {
    "inputs": {
        name: {"kind": "audio", "channels": 4, "blocks": 1, "width": 4, "window": 5.0, "hop": 1.0}
        for name in ("tone", "noise")
    }
}
"""Sounds that have as many tokens as short labels have symbols."""
TASKS["transcription"] = (
    {"column": "note", "of": "tone", "width": 4},
    {
        name: replace(change, rest=TONES)
        for name, change in {
            "column": Change("shop"),
            "missing": Change(["Good"]),
            "metric": Change("wer"),
            "of": Change("noise"),
            "unit": Change("word"),
            "lowercase": Change(True),
            "width": Change(6),
            "layers": Change(2),
            "beam": Change(1),
            **ONE_COLUMN,
            **DROPOUT,
            **TASK,
        }.items()
    },
)
NOTES = {"inputs": {name: {"kind": "text", **SMALL_TEXT} for name in ("note", "noted")}}
"""Texts of as many words as there are tags."""
TASKS["tagging"] = (
    {"column": "mood", "of": "note"},
    {
        name: replace(change, rest=NOTES)
        for name, change in {
            "column": Change("speech"),
            "missing": Change(["I-fine"]),
            "metric": Change("accuracy"),
            "of": Change("noted"),
            "separator": Change(";", refused="for 3 words"),
            "scheme": Change("none"),
            "crf": Change(False),
            **ONE_COLUMN,
            **TASK,
        }.items()
    },
)
TASKS["synthesis"] = (
    {"column": "tone", "width": 4, "heads": 2, "layers": 1},
    {
        name: replace(change, rest={"inputs": BASE["inputs"]})
        for name, change in {
            "column": Change("noise"),
            "missing": Change(["media/tone2.wav"]),
            "metric": Change("accuracy", refused="has no metric"),
            "of": Change(["age"]),
            "rate": Change(4000),
            "seconds": Change(0.045),
            "mels": Change(8),
            "window": Change(10.0),
            "hop": Change(5.0),
            "step": Change(1),
            "width": Change(6),
            "layers": Change(2),
            "heads": Change(4),
            **ONE_COLUMN,
            **DROPOUT,
            **TASK,
        }.items()
    },
)
AGAIN = {
    "inputs": {"age": {"kind": "number", "bins": 3, "width": 4}, "note": {"kind": "text", **SMALL_TEXT}},
    "training": {**BASE["training"], "epochs": 3, "learning_rate": 0.05},
}
"""What can be said again: a number, and a text."""
TASKS["reconstruction"] = (
    {"of": "note", "width": 4},
    {
        name: replace(change, rest=change.rest or AGAIN)
        for name, change in {
            "column": Change("note", refused="no column of labels"),
            "columns": Change(["note"], refused="one `column`"),
            "missing": Change(["Good"], refused="no column of labels"),
            "metric": Change("accuracy", refused="has no metric"),
            "of": Change("age"),
            "read": Change("tokens"),
            "width": Change(6),
            "layers": Change(0, {"of": "age"}),
            "size": Change(2, {"of": "photo"}, rest={"inputs": {"photo": {"kind": "image", "first": 4, "width": 4}}}),
            **DROPOUT,
            **TASK,
        }.items()
    },
)
COLUMN = {kind: small.get("column", "again") for kind, (small, _) in (INPUTS | TASKS).items()}
GRADIENT = {
    "at": Change("layer"),
    "every": Change(2),
    "scale": Change("norm"),
    "heads": Change("weighted"),
}
"""What every method that looks at gradients has; one that differs names its own after these."""
AVERAGES = {**GRADIENT, "every": Change(2, refused="leave it at 1")}
"""The same of one that adds up the gradients themselves."""
EPOCHS = {"training": {**BASE["training"], "epochs": 3}}
LEARNS = {"training": {**BASE["training"], "epochs": 6, "learning_rate": 0.1, "average": 0.0}}
THREE_TASKS = {"tasks": {**BASE["tasks"], "late": "binary"}}
TASK_BALANCE: dict[str, tuple[Document, dict[str, Change]]] = {
    "fixed": (
        {},
        {
            "weights": Change({"price": 5.0, "bought": 1.0}),
            "log": Change(True),
            "candidates": Change(2, {"weights": "search"}),
        },
    ),
    "uncertainty": ({}, {}),
    "dwa": ({}, {"temperature": Change(0.1, rest=EPOCHS)}),
    "random": ({}, {}),
    "geometric": ({}, {}),
    "log": ({}, {}),
    "famo": (
        {},
        {"learning_rate": Change(0.5), "weight_decay": Change(1.0), "lowest": Change({"price": -1.0})},
    ),
    "chebyshev": (
        {},
        {
            "mu": Change(0.1, {"of": "loss"}),
            "of": Change("loss"),
            "warmup": Change(0, rest=EPOCHS),
            "ideal": Change({"price": -1.0}, {"of": "loss"}),
            "preference": Change({"price": 3.0}, {"of": "loss"}),
        },
    ),
    "priority": ({}, {"gamma": Change(3.0, rest=EPOCHS), "momentum": Change(0.9, rest=LEARNS)}),
    "relation": (
        {},
        {
            **{name: replace(change, rest=THREE_TASKS) for name, change in GRADIENT.items()},
            "matrix": Change({"price": {"bought": 0.5}}, rest=THREE_TASKS),
            "temperature": Change(0.1, rest=THREE_TASKS),
            "momentum": Change(0.0, rest=THREE_TASKS),
        },
    ),
    "torchjd": (
        {},
        {**GRADIENT, "aggregator": Change("MGDA"), "options": Change({"alpha": 3.0}, {"aggregator": "FairGrad"})},
    ),
    "mgda": ({}, {**GRADIENT, "normalize": Change("l2")}),
    "pcgrad": ({}, GRADIENT),
    "gradvac": ({}, {**GRADIENT, "beta": Change(1.0)}),
    "graddrop": ({}, {"leak": Change({"price": 1.0})}),
    "gradnorm": (
        {},
        {
            **GRADIENT,
            "at": Change("features"),
            "heads": Change("raw"),
            "alpha": Change(9.0),
            "learning_rate": Change(0.1),
        },
    ),
    "dbmtl": ({}, {**AVERAGES, "at": Change("parameters"), "beta": Change(0.5), "decay": Change(1.0)}),
    "moco": (
        {},
        {
            **AVERAGES,
            "at": Change("parameters"),
            "beta": Change(0.1),
            "gamma": Change(1.0),
            "decay": Change(0.0),
            "rho": Change(1.0),
        },
    ),
    "excess": (
        {},
        {**AVERAGES, "at": Change("parameters"), "heads": Change("raw"), "step_size": Change(1.0)},
    ),
    "upgrad": ({}, {**GRADIENT}),
    "dualproj": ({}, {**GRADIENT}),
    "cagrad": ({}, {**GRADIENT, "c": Change(0.9)}),
    "imtl": ({}, {**GRADIENT, "loss": Change(True)}),
    "nash": ({}, {**GRADIENT, "heads": Change("raw")}),
    "aligned": ({}, GRADIENT),
    "fairgrad": ({}, {**GRADIENT, "alpha": Change(0.5)}),
    "config": ({}, GRADIENT),
}
AGES_ABSENT = {"inputs": {**BASE["inputs"], "age": {**BASE["inputs"]["age"], "missing": ["40", "41"]}}}
MODALITY_BALANCE: dict[str, tuple[Document, dict[str, Change]]] = {
    "none": ({}, {}),
    "ogm": (
        {},
        {
            "alpha": Change(2.0),
            "noise": Change(False),
            "from_epoch": Change(2),
            "to_epoch": Change(1, rest=EPOCHS),
        },
    ),
    "agm": ({}, {"alpha": Change(9.0)}),
    "pmr": (
        {},
        {
            "alpha": Change(3.0),
            "momentum": Change(0.9, rest=EPOCHS),
            "entropy": Change(0.5),
            "entropy_epochs": Change(0),
        },
    ),
    "blend": ({}, {"weights": Change({"age": 0.1}), "every": Change(1, rest=EPOCHS)}),
    "mmpareto": ({}, {"gamma": Change(3.0)}),
    "resample": (
        {},
        {
            "alpha": Change(50.0, {"warmup": 1}, rest=EPOCHS),
            "warmup": Change(1, {"alpha": 50.0}, rest=EPOCHS),
            "scarce": Change(1.0, rest=AGES_ABSENT),
        },
    ),
}
BALANCE = {"tasks": Change("uncertainty"), "modalities": Change("blend"), "watch": Change(0)}
LONG = {"epochs": 3}
TRAINING = {
    "epochs": Change(2),
    "minutes": Change(1e-9, LONG),
    "batch_size": Change(5),
    "group_lengths": Change(True, rest={"inputs": {"note": {"kind": "text", **SMALL_TEXT}, "age": "number"}}),
    "optimizer": Change("sgd"),
    "learning_rate": Change(0.03),
    "schedule": Change("linear"),
    "warmup": Change(0.9),
    "weight_decay": Change(0.5),
    "clip": Change(1e-3),
    "accumulate": Change(2),
    "precision": Change("bfloat16"),
    "device": Change("cuda:99", refused="cuda:99"),
    "average": Change(0.0),
    "mix": Change({"kind": "mixup", "alpha": 1.0}),
    "patience": Change(1, {"epochs": 4, "learning_rate": 1e-9, "optimizer": "sgd"}),
    "seed": Change(1),
    "tensorboard": Change(True),
}
EVALUATION = {
    "resamples": Change(7),
    "level": Change(0.5),
    "subgroups": Change(["shop"]),
    "baselines": Change([], rest={"data": {**BASE["data"], "train": "many.csv"}}),
    "contribution_rows": Change(5),
    "robustness_rows": Change(5),
    "synergy_rows": Change(5),
}
PURE_SPEED = {"workers": Change(1, {"epochs": 2})}
WITHIN_ROUNDING = {"devices", "shard", "compile"}
OF_ANOTHER_RUN = {"init_from"}
"""What names a run that has to be there: tests/run/test_run_init_from.py shows what each of its fields does."""
"""What changes nothing but time and the order of sums: tests of tests/run compare it."""
SKIPPING = {"train": "bad.csv", "on_bad_cell": "skip", "max_bad_fraction": 0.5}
DATA = {
    "train": Change("other.csv"),
    "valid": Change(0.2),
    "test": Change(0.3),
    "split": Change("part"),
    "split_seed": Change(5),
    "group": Change("owner"),
    "id": Change("id"),
    "weight": Change("age"),
    "sampling": Change({"table": 3, "other": 1}, {"train": ["table.csv", "other.csv"]}),
    "resample": Change("bought"),
    "root": Change("elsewhere", rest={"inputs": {"photo": {"kind": "image", "first": 4, "width": 4}}}, refused="root"),
    "on_bad_cell": Change("error", SKIPPING, refused="bad.csv:3:age"),
    "max_bad_fraction": Change(0.0, SKIPPING, refused="max_bad_fraction (0)"),
}
TABLE = {
    "table": Change("bad.csv", refused="bad.csv:3:age"),
    "name": Change("first"),
    "rename": Change({"age": "size", "size": "age"}),
    "weight": Change(3.0),
    "split": Change("part"),
}
"""Of one of two tables of training rows."""


# --- every field has a line above


def spec_fields(cls: type[BaseModel]) -> set[str]:
    return set(cls.model_fields) - {"kind"}


def test_the_table_names_every_kind_and_every_field() -> None:
    tables = {"inputs": INPUTS, "fusion": FUSION, "sharing": SHARING, "tasks": TASKS}
    tables |= {"balance.tasks": TASK_BALANCE, "balance.modalities": MODALITY_BALANCE}
    assert set(tables) == set(ROOMS)
    for room, kinds in tables.items():
        assert set(kinds) == set(ROOMS[room]), room
        for kind, (_, changes) in kinds.items():
            assert set(changes) == spec_fields(ROOMS[room][kind]), f"{room}: {kind}"
    assert set(DATA) == spec_fields(DataSpec)
    assert set(TABLE) == spec_fields(TableSpec)
    assert set(TRAINING) | set(PURE_SPEED) | WITHIN_ROUNDING | OF_ANOTHER_RUN == spec_fields(TrainingSpec)
    assert set(BALANCE) == spec_fields(Balance)
    assert set(EVALUATION) == spec_fields(EvaluationSpec)


def test_the_table_names_the_specs_inside_specs() -> None:
    """A Spec as a field of another: the encoders of an input, the joint stream of hybrid fusion."""
    registered = {cls for kinds in ROOMS.values() for cls in kinds.values()}
    tables = {f"inputs {name}": kinds for name, kinds in ENCODERS.items()} | {"tasks generation": SEARCH}
    tables["inputs image"] = tables["inputs image"] | AUGMENT
    found = {}
    for room, kinds in ROOMS.items():
        for kind, cls in kinds.items():
            inner = {spec for one in cls.model_fields.values() for spec in specs_in(one.annotation)} - registered
            if inner:
                found[f"{room} {kind}"] = {spec.word(): spec for spec in inner}  # type: ignore[attr-defined]
    assert {place: set(specs) for place, specs in found.items()} == {place: set(one) for place, one in tables.items()}
    for place, kinds in tables.items():
        for kind, (_, changes) in kinds.items():
            assert set(changes) == spec_fields(found[place][kind]), f"{place}: {kind}"


def specs_in(annotation: Any) -> Iterator[type[Frozen]]:
    if isinstance(annotation, type) and issubclass(annotation, Frozen):
        yield annotation
    for part in typing.get_args(annotation):
        yield from specs_in(part)


# --- every line is true


def lines() -> Iterator[Any]:
    def paragraphs(
        kinds: Mapping[str, tuple[Document, dict[str, Change]]], place: Callable[..., Document]
    ) -> Iterator[Any]:
        for kind, (small, changes) in kinds.items():
            for name, change in changes.items():
                before = {"kind": kind, **small, **change.given}
                yield name, place(before), place({**before, name: change.value}), change, kind

    rooms = [
        *paragraphs(INPUTS, lambda spec: {"inputs": {COLUMN[spec["kind"]]: spec, "weight": "number", **twin(spec)}}),
        *(line for kind, encoders in ENCODERS.items() for line in paragraphs(encoders, within(kind))),
        *paragraphs(
            AUGMENT,
            lambda spec: {
                "inputs": {"x": {"kind": "image", "column": "photo", "first": 4, "width": 4, "augment": spec}}
            },
        ),
        *paragraphs(
            SEARCH,
            lambda spec: {"tasks": {"note": {"kind": "generation", **WRITES, "search": spec}}, "training": LEARNT},
        ),
        *paragraphs(FUSION, lambda spec: {"fusion": spec}),
        *paragraphs(SHARING, lambda spec: {"sharing": spec}),
        *paragraphs(
            TASKS,
            lambda spec: {
                "tasks": {COLUMN[spec["kind"]]: spec, "late": "binary", **mate(spec)},
                "inputs": {"age": "number"},
            },
        ),
        *paragraphs(TASK_BALANCE, lambda spec: {"balance": {"tasks": spec}}),
        *paragraphs(MODALITY_BALANCE, lambda spec: {"balance": {"modalities": spec}}),
    ]
    for name, change in TABLE.items():
        given = {"table": "table.csv", **change.given}
        before, after = (
            {"data": {**BASE["data"], "train": [one, "other.csv"]}} for one in (given, {**given, name: change.value})
        )
        rooms.append((name, before, after, change, "table"))
    for room, changes in (("data", DATA), ("training", TRAINING), ("balance", BALANCE), ("evaluation", EVALUATION)):
        for name, change in changes.items():
            before = {**BASE.get(room, {}), **change.given}
            rooms.append((name, {room: before}, {room: {**before, name: change.value}}, change, room))
    for name, before, after, change, where in rooms:
        yield pytest.param(before | change.rest, after | change.rest, change.refused, id=f"{where}.{name}")


def within(kind: str) -> Callable[[Document], Document]:
    """The place of an encoder: in the smallest input of this kind."""
    return lambda spec: {"inputs": {"x": {"kind": kind, **INPUTS[kind][0], "encoder": spec}}}


def twin(spec: Document) -> Document:
    """For the line of `share`: an input like this one, whose encoder it can have."""
    return {"twin": {name: value for name, value in spec.items() if name != "share"}} if "share" in spec else {}


def mate(spec: Document) -> Document:
    """For the line of `unit`: a task that is measured in it."""
    return {"size": {"kind": "regression", "unit": "euro"}} if "unit" in spec else {}


@pytest.mark.parametrize(("before", "after", "refused"), list(lines()))
def test_the_field_changes_something(before: Document, after: Document, refused: str, bench: "Bench") -> None:
    one, other = bench.seen(before), bench.seen(after)
    assert "refused" not in one, one["refused"]
    assert refused in other.get("refused", "")
    assert bool(refused) == ("refused" in other), other.get("refused")
    assert one != other


@pytest.mark.parametrize("name", PURE_SPEED)
def test_the_field_changes_nothing_but_time(name: str, bench: "Bench") -> None:
    before = {**BASE["training"], **PURE_SPEED[name].given}
    assert bench.seen({"training": before}) == bench.seen({"training": {**before, name: PURE_SPEED[name].value}})


def test_what_is_seen_repeats(bench: "Bench") -> None:
    assert bench.seen({}) == Bench(bench.folder, bench.folder / "again").seen({})


@pytest.mark.parametrize(
    ("room", "kind"), [(room, kind) for room in ("inputs", "tasks", "fusion", "sharing") for kind in ROOMS[room]]
)
def test_an_unknown_field_is_an_error_with_the_nearest_name(room: str, kind: str) -> None:
    for name in spec_fields(ROOMS[room][kind]):
        spec = {"kind": kind, f"{name}x": 1}
        with pytest.raises(SpecError, match=f"has no field '{name}x'; did you mean '{name}'"):
            load({**BASE, room: {"x": spec} if room in ("inputs", "tasks") else spec})


# --- the bench


class Bench:
    """Runs experiments over one small table and keeps what was seen of each."""

    def __init__(self, folder: Path, runs: Path) -> None:
        self.folder, self.runs = folder, runs
        self.known: dict[str, dict[str, Any]] = {}

    def seen(self, rooms: Document) -> dict[str, Any]:
        """Everything a run shows of itself but its own experiment; or the error that refuses it."""
        document = {**BASE, **rooms}
        key = json.dumps(document, sort_keys=True)
        if key not in self.known:
            try:
                self.known[key] = self._run(document)
            except MotetError as error:
                self.known[key] = {"refused": str(error)}
        return self.known[key]

    def _run(self, document: Document) -> dict[str, Any]:
        run = motet.fit(document, out=self.runs / str(len(self.known)))
        report = json.loads((run.folder / "report.json").read_text())
        for name in ("seconds", "seed"):
            del report["training"][name]
        return {
            "log": (run.folder / "log.jsonl").read_bytes(),
            "weights": (run.folder / "bundle" / "weights.safetensors").read_bytes(),
            "answers": run.model.predict("ask.csv").to_pylist(),
            "report": report,
            "files": sorted(path.name for path in run.folder.iterdir()),
        }


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("bench")
    write_tables(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MOTET_CACHE", str(folder / "cache"))
        yield Bench(folder, folder / "runs")


def write_tables(folder: Path, *, num_rows: int = 48) -> None:
    chance = np.random.default_rng(0)
    (folder / "media").mkdir()
    (folder / "elsewhere").mkdir()
    write_models(folder / "models")
    rows = [tagged(row(folder, number, chance)) for number in range(num_rows)]
    write(folder / "table.csv", rows)
    write(folder / "other.csv", rows[::-1])
    write(folder / "many.csv", rows * 5)
    write(folder / "bad.csv", [one | ({"age": "old"} if number == 1 else {}) for number, one in enumerate(rows)])
    write(
        folder / "ask.csv",
        [one | ({"age": "", "note": ""} if number % 3 == 0 else {}) for number, one in enumerate(rows[:8])],
    )


def write_models(folder: Path) -> None:
    for family in ("bert", "distilbert"):
        save_text_model(family, folder / family)
    for family in ("vit", "resnet"):
        save_image_model(family, folder / family)
    for family in ("videomae", "vjepa2"):
        save_video_model(family, folder / family)
    for family in ("wavlm", "hubert"):
        save_audio_model(family, folder / family)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def tagged(row: dict[str, Any]) -> dict[str, Any]:
    """With tags for the words of the note, and the words of another text as many."""
    words = row["note"].split()
    speech = ["CCONJ" if word == "and" else "ADJ" for word in words]
    moods = [
        f"{'I' if number else 'B'}-fine" if word in ("good", "cheap") else "O" for number, word in enumerate(words)
    ]
    return row | {"speech": "|".join(speech), "mood": "|".join(moods), "noted": " ".join(reversed(words))}


def write_film(path: Path, frames: np.ndarray) -> None:
    """Three grey frames, as a video of a fifth of a second."""
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=15)
        (stream.height, stream.width), stream.pix_fmt = frames.shape[1:], "gray"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        file.mux(stream.encode())


def row(folder: Path, number: int, chance: np.random.Generator) -> dict[str, Any]:
    for name in ("photo", "print"):
        Image.fromarray(chance.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"media/{name}{number}.png")
    for name in ("tone", "noise"):
        wave = np.sin(np.arange(int(chance.integers(300, 500))) * chance.uniform(0.1, 2))
        soundfile.write(folder / f"media/{name}{number}.wav", wave, 8000)
    steps = np.add.outer(np.arange(8), np.arange(8) * (number % 5)) // 6  # drawn from nothing: chance is as it was
    for name, numbers in (("mask", steps % 3), ("relief", 1 + steps)):
        Image.fromarray(numbers.astype(np.uint8)).save(folder / f"media/{name}{number}.png")
    write_film(folder / f"media/film{number}.mkv", np.stack([steps * 20, steps * 9, steps]).astype(np.uint8))
    new = number % 2
    cup = {"label": ["bowl", "cup"][new], "box": [1, 1, 4 + number % 4, 6]}
    return {
        "boxes": json.dumps([] if number % 6 == 0 else [cup]),
        "marks": json.dumps([{"label": "mark", "box": [0, 0, 1, 1]}]),
        "id": f"r{number}",
        "owner": number // 5,
        "part": ["train", "train", "valid", "test"][number % 4],
        **{name: f"media/{name}{number}.png" for name in ("photo", "print", "mask", "relief")},
        "album": f"media/photo{number}.png|media/print{number}.png",
        **{name: f"media/{name}{number}.wav" for name in ("tone", "noise")},
        "film": f"media/film{number}.mkv",
        "note": ["Good", "good and cheap", "Bad", "late and cold"][int(chance.integers(4))],
        "shop": ["north", "south", "east"][int(chance.integers(3))],
        "age": int(chance.integers(38, 44)),
        "size": round(float(chance.normal()), 2),
        "weight": round(float(chance.normal()), 2),
        "place": "|".join(str(part) for part in chance.integers(0, 3, size=2)),
        "route": "|".join(str(part) for part in chance.integers(0, 9, size=3)),
        "bought": ["no", "yes"][new],
        "paid": ["no", "yes"][int(chance.integers(2))],
        "late": int(chance.integers(2)),
        "price": int(chance.integers(9, 14)) + new,
        "tags": "new|old" if number % 3 == 0 else ["old", "new"][new],
        "is_new": new,
        "is_old": int(number % 3 == 0),
        "when": f"2024-01-{1 + number % 9:02d}",
        "seen": f"2024-0{1 + number % 5}-11",
        "walk": json.dumps([[step, (step * number) % 5] for step in range(1 + number % 4)]),
    }
