"""How often training draws the rows of each table."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from motet.core.checks import did_you_mean
from motet.core.errors import SpecError
from motet.data.table import Table

Sampling = str | float | Mapping[str, float]


def table_weights(sampling: Sampling, table: Table, rows: np.ndarray) -> Float64[np.ndarray, "rows"] | None:
    """How often each of these training rows is wanted, so that each table gets its share; None: all alike.

    Of table k with n_k of the rows the share of an epoch is p_k, and within it each row comes as often: a row's weight
    is in proportion to `p_k / n_k`, their mean 1. `p_k` is in proportion to `n_k` (size), to 1 (equal), to `n_k^(1/T)`
    for a temperature T, or to the number named for it. Temperatures are those of Arivazhagan et al., Massively
    Multilingual Neural Machine Translation in the Wild, arXiv 2019.

    >>> from motet.data import read_table
    >>> table = read_table([[{"x": 1}] * 4, [{"x": 2}]])
    >>> table_weights(2.0, table, np.arange(5)).round(3).tolist()
    [0.833, 0.833, 0.833, 0.833, 1.667]
    """
    weights = np.ones(len(rows))
    for name, own in table.by_table(rows).items():
        weights[own] = _share(sampling, name, len(own) / len(rows)) / len(own)
    return None if np.ptp(weights) <= 1e-12 * weights.max() else weights / weights.mean()


def check_sampling(sampling: Sampling, table: Table, rows: np.ndarray) -> None:
    """Refuse, by `SpecError`, numbers that do not name exactly the tables that these training rows are from."""
    if not isinstance(sampling, Mapping):
        return
    tables = list(table.by_table(rows))
    for name in sampling:
        if name not in tables:
            raise SpecError(f"data.sampling: no table of training rows is called {name!r}{did_you_mean(name, tables)}")
    for name in tables:
        if name not in sampling:
            raise SpecError(f"data.sampling: table {name!r} is not among {', '.join(sampling)}; give each a number")


def _share(sampling: Sampling, name: str, of_rows: float) -> float:
    """In proportion to what part of an epoch a table is drawn that has this part of the rows."""
    if isinstance(sampling, Mapping):
        return sampling[name]
    if isinstance(sampling, str):
        return 1.0 if sampling == "equal" else of_rows
    return float(of_rows ** (1 / sampling))
