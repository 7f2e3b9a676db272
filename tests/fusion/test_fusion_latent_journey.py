"""Fusions with losses of their own from a table to a bundle: trained, logged by name, answered and read again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import motet
from motet import balance, inputs, sharing, tasks
from motet.core.flow import Cells
from motet.fusion import Latent
from motet.fusion.base import FusionSpec
from motet.model import Network, assemble
from motet.model.export import export, flat

SMALL: dict[str, tuple[dict[str, Any], set[str]]] = {
    "latent": (
        {"kind": "latent", "width": 6, "decode": True},
        {"contrastive age shop", "decode age to shop", "decode shop to age"},
    ),
    "factors": ({"kind": "factors", "width": 6, "rank": 3}, {"factors"}),
    "rbm": ({"kind": "rbm", "width": 6, "hidden": 4, "joint": 4}, {"rbm of age", "rbm of shop", "rbm joint"}),
}


def rows(count: int = 24) -> list[dict[str, Any]]:
    """A number and a word that go together; some cells missing, and half of the labels."""
    chance = np.random.default_rng(0)
    found = []
    for number in range(count):
        size = int(chance.integers(3))
        row: dict[str, Any] = {"age": size + float(chance.normal(0, 0.1)), "shop": "abc"[size], "price": None}
        row |= {"price": size * 2.0} if number % 2 else {}
        row |= {["age", "shop"][number % 6]: None} if number % 6 < 2 else {}
        found.append(row)
    return found


@pytest.mark.parametrize("kind", SMALL)
def test_from_a_table_to_a_bundle(kind: str, tmp_path: Path) -> None:
    fused, names = SMALL[kind]
    given = {
        "data": {"train": rows(), "valid": 0.25},
        "inputs": {"age": "number", "shop": "category"},
        "tasks": {"price": "regression"},
        "fusion": fused,
        "training": {"epochs": 2, "batch_size": 8, "device": "cpu"},
    }
    run = motet.fit(given, out=tmp_path / "run")
    steps = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    logged = [set(one["terms"]) for one in steps if "terms" in one]
    assert logged
    assert all(one == {f"fusion/{name}" for name in names} for one in logged)
    asked = [{"age": 1.0, "shop": "b"}, {"shop": "c"}, {"age": 0.0}, {}]
    again = motet.load(tmp_path / "run")
    said = [one["price"] for one in run.model.predict(asked)]
    assert [one["price"] for one in again.predict(asked)] == said
    assert len(set(said)) == 4


def network(joined: FusionSpec) -> Network:
    number = inputs.Number(width=3, encoding="linear", drop=0.0)
    task = tasks.Regression()
    return assemble(
        inputs={name: (number, number.fit([0.0, 1.0])) for name in ("age", "size")},
        tasks={"price": (task, task.fit([0.0, 1.0]))},
        fusion=joined,
        sharing=sharing.Hard(width=4),
        task_balance=balance.Fixed(),
        modality_balance=balance.NoThrottle(),
    ).eval()


def test_as_a_graph_what_is_absent_is_imputed_too() -> None:
    """For other rows and other absences than it was traced with."""
    net = network(Latent(width=4, align="none", decode=True))
    values = torch.randn(4, 1, generator=torch.Generator().manual_seed(0))
    present = {"age": torch.tensor([True, True, False, False]), "size": torch.tensor([True, False, True, False])}
    batch = {name: Cells({"features": values}, there) for name, there in present.items()}
    graph = export(net, {name: one.rows(torch.arange(2)) for name, one in batch.items()}).module()
    with torch.no_grad():
        torch.testing.assert_close(graph(*flat(batch).values())["price"], net(batch)["price"].output)
