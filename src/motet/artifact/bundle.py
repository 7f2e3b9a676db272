"""The bundle: everything that serving needs, and nothing of the machine that trained it.

`bundle.json` (experiment without its data, fitted preparations and codecs, their versions), `weights.safetensors`, and
the manifest with the hash of each. No pickle, no code, no path: components are named from the closed registry.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from motet.artifact.folder import read_folder, write_folder
from motet.core.errors import BundleError

FORMAT = 1
"""Raised when what is written changes; `read_bundle` refuses what it does not know."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A trained model at rest. `model` is the experiment's inputs, tasks, fusion, sharing and balance as plain JSON;
    `preparations` and `codecs` hold what was fitted for each input and task.
    """

    model: Mapping[str, Any]
    preparations: Mapping[str, Mapping[str, Any]]
    codecs: Mapping[str, Mapping[str, Any]]
    facts: Mapping[str, Any]
    weights: Mapping[str, Tensor]


def write_bundle(folder: Path, bundle: Bundle) -> None:
    """Write the bundle, whole or not at all."""
    from safetensors.torch import save

    document = {
        "format": FORMAT,
        "model": bundle.model,
        "preparations": bundle.preparations,
        "codecs": bundle.codecs,
        "facts": bundle.facts,
    }
    weights = {name: _own(tensor) for name, tensor in bundle.weights.items()}
    files = {
        "bundle.json": json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False).encode(),
        "weights.safetensors": save(weights),
    }
    write_folder(folder, files)


def read_bundle(folder: Path) -> Bundle:
    """Read and check a bundle; raises `BundleError` where it is absent, damaged or of another format."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    if not folder.is_dir():
        raise BundleError(f"{folder}: there is no bundle; expected the folder of a finished run, or its bundle/ folder")
    files = read_folder(folder)
    broken = (KeyError, ValueError, TypeError, RecursionError, SafetensorError)
    try:
        document = json.loads(files["bundle.json"])
        found = document["format"]
    except broken as error:
        raise _not_a_bundle(folder, error) from None
    if found != FORMAT:
        raise BundleError(f"{folder}: written in format {found}, this motet reads {FORMAT}; install the matching one")
    try:
        weights = load(files["weights.safetensors"])
        parts = {name: dict(document[name]) for name in ("model", "preparations", "codecs", "facts")}
    except broken as error:
        raise _not_a_bundle(folder, error) from None
    return Bundle(**parts, weights=weights)


def _not_a_bundle(folder: Path, error: Exception) -> BundleError:
    return BundleError(f"{folder}: not a bundle of motet ({type(error).__name__}: {error})")


def _own(tensor: Tensor) -> Tensor:
    """A copy in memory of its own: safetensors refuses tensors that share theirs."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
