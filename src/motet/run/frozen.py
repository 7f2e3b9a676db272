"""Frozen encoders read every cell once, before the training: epochs go on from what they made of it."""

import hashlib
import json
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import torch

from motet.data import ItemsBuilder, KeptArrays, StoredColumn, name_of
from motet.inputs.base import InputSpec, Preparation, spread
from motet.inputs.pretrained import KnownStates, PretrainedEncoder
from motet.model import Network
from motet.model.share import lender
from motet.nn import fingerprint
from motet.run.prepare import Prepared
from motet.training import Progress, pick_device

KEPT_AT_ONCE = 2048
MOST_BYTES = 4 << 30
"""Of states in memory. Where there would be more, the encoder reads the cells of every batch instead."""
SAMPLED = 16
"""So many cells tell how much memory the states of all will take."""


def with_known_states(prepared: Prepared, network: Network, *, progress: Progress) -> Prepared:
    """The same rows, the cells of frozen encoders replaced by their states, bit for bit what the encoder makes of them.

    States are kept in the cache folder under the content of the cell, the preparation, and the weights. Inputs that
    vary in training are left as they are, which is said, and so are those whose items are read again for each batch.
    """
    columns = dict(prepared.dataset.store.columns)
    for name, (spec, preparation) in prepared.fitted.inputs.items():
        encoder = lender(network.encoders[name].encoder)
        if not isinstance(encoder, PretrainedEncoder) or not encoder.frozen:
            continue
        if preparation.varies:
            progress.say(_why_not(name, spec, preparation))
        else:
            device = pick_device(prepared.fitted.experiment.training.device)
            columns[name] = _known(name, columns[name], encoder.to(device), preparation, progress)
    store = replace(prepared.dataset.store, columns=columns)
    return replace(prepared, dataset=prepared.dataset.of(store))


def _known(
    name: str, column: StoredColumn, encoder: PretrainedEncoder, preparation: Preparation, progress: Progress
) -> StoredColumn:
    """The column with states for items; as it was where it has none in memory, or states were too many."""
    if column.items is None:
        return column
    items = column.items.take(np.arange(len(column.items)))
    some = [encoder.known(preparation.batch([item]), words=False).nbytes for item in spread(items, SAMPLED)]
    if some and len(items) * sum(some) / len(some) > MOST_BYTES:
        progress.say(f"{name}: too many states to keep in memory; each batch is encoded anew")
        return column
    names = list(map(name_of, items))
    kept = KeptArrays(_maker(encoder, preparation))
    states = kept.find(names)
    fresh: dict[str, np.ndarray] = {}
    words = bool(getattr(preparation, "words", False)) and encoder.output == "tokens"
    for place, (one, item) in enumerate(zip(names, items, strict=True)):
        if one not in states:
            states[one] = fresh[one] = encoder.known(preparation.batch([item]), words=words)
        if len(fresh) == KEPT_AT_ONCE or place == len(items) - 1:
            kept.keep(fresh)
            fresh = {}
        progress.stage(f"encoding {name}", place + 1, len(items))
    builder = ItemsBuilder(MOST_BYTES)
    for one in names:
        builder.add(states[one])
    found = builder.items()
    if found is None:
        progress.say(f"{name}: too many states to keep in memory; each batch is encoded anew")
        return column
    cells = replace(column.cells, column=replace(column.cells.column, reader=KnownStates(words=words)))
    return replace(column, cells=cells, items=found)


def _why_not(name: str, spec: InputSpec, preparation: Preparation) -> str:
    """Why nothing is kept of what the encoder says of an input, and how it could be."""
    fields = preparation.variations
    by = f" ({', '.join(fields)})" if fields else ""
    why = f"{name}: its {spec.shown_as}s vary in training{by}, so the frozen encoder reads them anew in every epoch"
    still = ", ".join(f"{field}: {json.dumps(value)}" for field, value in fields.items())
    return f"{why}; `{still}` would let what it says be kept" if still else why


def _maker(encoder: PretrainedEncoder, preparation: Preparation) -> str:
    """What a state depends on beside its cell's content: preparation, weights, what is read of them, and who reads."""
    weights = encoder.backbone.state_dict()
    device = next(iter(weights.values())).device
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    reader = (torch.__version__, version("transformers"), torch.get_float32_matmul_precision(), machine)
    kind, fields = type(preparation).__qualname__, preparation.model_dump_json()
    texts = (kind, fields, encoder.output, fingerprint(weights), *reader)
    return hashlib.blake2b("\x1f".join(texts).encode(), digest_size=16).hexdigest()
