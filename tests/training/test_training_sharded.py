"""Weights divided between two processes (FSDP2) against one process: the same weights, whatever balances the tasks.

Rows, labels and cells are divided unevenly: some steps leave the second process without a label, without a row, or
without an input; one leaves both without one. Dropout is on, a step has two batches, gradients are clipped. In float64,
as in test_training_together.py, but for whole runs. The processes are started once, and do everything in turn.
"""

import json
import multiprocessing
import shutil
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from sharded_world import Found, kind_trained, method_trained, methods, run, zoo
from test_training_together import network
from torch import Tensor

from motet import balance
from motet.core.errors import SpecError
from motet.core.together import Together
from motet.training.sharding import check_divisible

ALONE = Together()
WAYS = {"divided": True, "whole": False}
STOP = 2


def lines() -> dict[str, tuple[str, str]]:
    """What is trained in each way: `method` or `kind`, and which; the optimisers by one method."""
    found = {kind: ("method", kind) for kind in methods()} | {line: ("kind", line) for line in zoo()}
    return found | {f"optimizer {name}": (name, "fixed") for name in ("adam", "adamw")}


def trained(line: str, together: Together) -> Found:
    how, which = lines()[line]
    if how == "kind":
        return kind_trained(which, together)
    return method_trained(which, together, optimizer="sgd" if how == "method" else how)


def work(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    together = Together(dist.group.WORLD)
    for line in lines():
        tensors, held = trained(line, together)
        save_file({name: one.contiguous() for name, one in tensors.items()}, folder / f"{line}.{rank}.safetensors")
        (folder / f"{line}.{rank}.json").write_text(json.dumps(held))
    run(folder / "divided, then alone", together, shard=True, stop=STOP)
    dist.barrier()
    if not rank:
        for way in WAYS:
            shutil.copytree(folder / "divided, then alone", folder / f"divided, then {way}")
    dist.barrier()
    for way, shard in WAYS.items():
        run(folder / f"divided, then {way}", together, resume=True, shard=shard)
    run(folder / "alone, then divided", together, resume=True, shard=True)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = tmp_path_factory.mktemp("sharded")
    run(made / "alone", ALONE)
    run(made / "alone, then divided", ALONE, stop=STOP)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(rank, port, made)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
        assert process.exitcode == 0
    run(made / "divided, then alone", ALONE, resume=True)
    return made


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], bound: float) -> None:
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        size = max(1.0, float(one.abs().max()))
        assert float((found[name].double() - one.double()).abs().max()) / size <= bound, name


@pytest.mark.parametrize("line", lines())
def test_two_processes_with_half_the_weights_each_train_what_one_does(line: str, folder: Path) -> None:
    alone, _ = trained(line, ALONE)
    first, second = (load_file(folder / f"{line}.{rank}.safetensors") for rank in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert_close(first, alone, 1e-6)


@pytest.mark.parametrize("line", ["fixed", "optimizer adamw", "attention", "fusion transformer"])
def test_each_process_holds_half(line: str, folder: Path) -> None:
    held = [json.loads((folder / f"{line}.{rank}.json").read_text()) for rank in range(2)]
    for room in ("encoders", "fusion"):
        total = held[0][f"all {room}"]
        assert sum(one[f"own {room}"] for one in held) == total
        assert all(abs(one[f"own {room}"] / total - 0.5) < 0.05 for one in held), room
    copies = {"optimizer adamw": 2}.get(line, 1)  # two moments of each number, or one
    for one in held:
        assert one["own state"] == copies * (one["own encoders"] + one["own fusion"])


@pytest.mark.parametrize(
    "name", ["divided, then alone", "alone, then divided", *(f"divided, then {way}" for way in WAYS)]
)
def test_a_run_is_the_run_of_one_process_wherever_it_goes_on(name: str, folder: Path) -> None:
    found, expected = (load_file(folder / one / "bundle" / "weights.safetensors") for one in (name, "alone"))
    assert_close(found, expected, 1e-5)
    logs = [
        [json.loads(line) for line in (folder / one / "log.jsonl").read_text().splitlines()] for one in (name, "alone")
    ]
    seen = [[line["rows_seen"] for line in log if "rows_seen" in line] for log in logs]
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("name", "at", "steps"),
    [
        ("alone", "parameters", 1),
        ("divided, then divided", "layer", 1),
        ("divided, then whole", "parameters", 0),
        ("alone, then divided", "layer", 0),
    ],
)
def test_relations_are_of_one_place(name: str, at: str, steps: int, folder: Path) -> None:
    """Gradients are compared in the first step; who goes on where they are compared elsewhere leaves that behind."""
    found = json.loads((folder / name / "relations.json").read_text())
    assert found["at"] == at
    assert [pair["steps"] for row in found["pairs"].values() for pair in row.values()] == [1] * steps


def test_one_process_keeps_everything(folder: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", ALONE, shard=True)
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == (folder / "alone" / "log.jsonl").read_bytes()


def test_what_needs_whole_parameters_is_refused() -> None:
    with pytest.raises(SpecError, match=r"training\.shard.*balance\.tasks\.at"):
        check_divisible(network(balance.MGDA(at="parameters")), watched=False)
    check_divisible(network(balance.MGDA(at="layer")), watched=True)
