"""An input of some rows, distorted and encoded anew: for the curves of robustness."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from motet.core.flow import Cells, Tokens
from motet.core.seed import generator
from motet.data import StoredColumn, read_cells
from motet.inputs.base import Preparation
from motet.model import Network, Variant
from motet.run.prepare import Prepared


def distorting(prepared: Prepared, network: Network, name: str, level: float, rows: Int64[np.ndarray, "N"]) -> Variant:
    """The variant of these rows whose input is as bad as `level` says; each row has noise of its own.

    What a frozen encoder has said of the cells is not looked at: they are read again.
    """
    preparation = prepared.fitted.inputs[name][1]
    column, places = _column(prepared, name, np.sort(rows))
    seed = prepared.fitted.experiment.training.seed

    def variant(tokens: Mapping[str, Tokens], of: Tensor) -> Mapping[str, Tokens]:
        chosen = of.cpu().numpy()
        here = np.array([places[row] for row in chosen.tolist()])
        present = column.present[here]
        if not present.any():
            return tokens
        items = column.take(here[present], chosen[present])
        others = [items[-1], *items[:-1]]
        changed = [
            preparation.distorted(item, level, generator(seed, "distorted", name, row), other=other)
            for item, other, row in zip(items, others, chosen[present].tolist(), strict=True)
        ]
        mask = torch.from_numpy(present)
        cells = Cells({key: _at(value, mask) for key, value in preparation.batch(changed).items()}, mask)
        return {**tokens, name: network.encoders[name](cells.to(tokens[name].values.device))}

    return variant


def _column(prepared: Prepared, name: str, rows: np.ndarray) -> tuple[StoredColumn, dict[int, int]]:
    """The column as its preparation reads it, and the place of each of these rows there."""
    store, fitted = prepared.dataset.store, prepared.fitted
    if not isinstance(store.columns[name].reader, Preparation):
        columns = {name: fitted.columns[0][name]}
        store = read_cells(fitted.table, rows, columns, root=fitted.root, on_bad_cell="skip", max_bad_fraction=1.0)
    return store.columns[name], dict(zip(rows.tolist(), store.places(rows).tolist(), strict=True))


def _at(value: Tensor, mask: Tensor) -> Tensor:
    whole = value.new_zeros((len(mask), *value.shape[1:]))
    whole[mask] = value
    return whole
