"""The worst mistakes of a task with their reasons: what each input added, and where in texts, pictures and sounds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch

from motet.core.errors import CellError
from motet.core.flow import Batch
from motet.evaluation import Details, Shown
from motet.evaluation.details import Mistake
from motet.inputs.audio import AudioPreparation
from motet.model import Network
from motet.model.explain import Worth, shares
from motet.model.explain_saliency import saliency
from motet.run.gallery import sources_of
from motet.run.heat import drawn
from motet.run.scored import Scored
from motet.serving.explain import part_weights, worth_of

SALIENCY_ROUNDS = 14
SALIENCY_COST = 150
"""Passes through the network, one for each point of a path and three for each gradient, that a row takes."""

Show = Callable[[int], Sequence[Shown]]
Reason = list[tuple[str, float]] | str


def with_reasons(scored: Scored, task: str, details: Callable[..., Details], *, show: Show) -> Details:
    """What `details(show=...)` gives, and with each mistake its reasons.

    Within a tenth of training's work, counted in rows; where that is not enough for all, saliency is that of the worst.
    """
    rows: list[int] = []

    def noted(row: int) -> Sequence[Shown]:
        rows.append(row)
        return show(row)

    found = details(show=noted)
    worth = worth_of(scored.fitted.tasks[task][1])
    if worth is None or not rows:
        return found
    with _answering(scored.network):
        contributions = _contributions(scored, task, worth, rows)
        affordable = int(0.1 * 3 * scored.position.rows_seen / len(scored.fitted.tasks) / SALIENCY_COST)
        reasons = _reasons(scored, task, worth, rows[:affordable])
    mistakes = [
        replace(one, contributions=shared, cells=tuple(_with_saliency(one, reasons.get(row, {}))))
        for one, row, shared in zip(found.mistakes, rows, contributions, strict=True)
    ]
    return replace(found, mistakes=tuple(mistakes))


def _contributions(scored: Scored, task: str, worth: Worth, rows: Sequence[int]) -> list[dict[str, float]]:
    batch = _batch(scored, rows)
    with torch.no_grad():
        tokens = scored.network.encode(batch.inputs)
    found = shares(scored.network, tokens, {task: worth})[task]
    names = sorted(tokens)
    return [{name: float(one) for name, one in zip(names, row, strict=True) if np.isfinite(one)} for row in found]


def _reasons(scored: Scored, task: str, worth: Worth, rows: Sequence[int]) -> dict[int, dict[str, Reason]]:
    """By row and input."""
    fitted, sources = scored.fitted, sources_of(scored.fitted)
    found: dict[int, dict[str, Reason]] = {row: {} for row in rows}
    cells = {(row, name): source for row in rows for name, label, source in sources(row) if name == label}
    for name, (_, preparation) in fitted.inputs.items():
        there = [row for row in rows if (row, name) in cells]
        if not there:
            continue
        batch = _batch(scored, there)
        felt = saliency(
            scored.network,
            batch.inputs,
            name,
            preparation=preparation,
            worths={task: worth},
            rounds=SALIENCY_ROUNDS,
        )
        for row, one in zip(there, felt[task] if felt else (), strict=False):
            try:
                parts = part_weights(preparation, cells[row, name], one)
                frames = preparation.read(cells[row, name]) if isinstance(preparation, AudioPreparation) else None
                if parts is not None:
                    found[row][name] = drawn(parts, cells[row, name], frames)
            except (CellError, OSError):
                continue
    return found


def _with_saliency(mistake: Mistake, reasons: Mapping[str, Reason]) -> Iterator[Shown]:
    for cell in mistake.cells:
        yield replace(cell, saliency=reasons[cell.input]) if cell.input in reasons else cell


def _batch(scored: Scored, rows: Sequence[int]) -> Batch:
    device = next(scored.network.parameters()).device
    return scored.prepared.dataset.batch(np.array(rows, dtype=np.int64), epoch=None).to(device)


@contextmanager
def _answering(network: Network) -> Iterator[None]:
    """In evaluation mode, and then as it was."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)
