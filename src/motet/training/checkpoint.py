"""Checkpoints: everything a run needs to go on as if it had never stopped, as safetensors and JSON."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from motet.artifact.folder import read_folder, write_folder
from motet.balance.relations import Sums
from motet.core.errors import BundleError, SpecError
from motet.nn import learned_state, load_learned
from motet.training.sharding import parts, whole

KEPT = 2
"""How many checkpoints stay: the newest, and one to fall back on."""


@dataclass(slots=True)
class Position:
    """Where training stands.

    `batch` counts the batches of this epoch already used up; `compared_at` is where the gradients in `relations` were.
    `data` and `given` identify the rows and the weights that training does not change.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    rows_seen: int = 0
    stale_epochs: int = 0
    best_gain: float | None = None
    best_epoch: int | None = None
    seconds: float = 0.0
    done: bool = False
    data: str = ""
    given: str = ""
    idle_steps: int = 0
    log_bytes: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    loss_sums: dict[str, float] = field(default_factory=dict)
    loss_counts: dict[str, float] = field(default_factory=dict)
    compared_at: str = ""
    relations: Sums = field(default_factory=dict)
    epoch_relations: Sums = field(default_factory=dict)

    def check_continued_by(self, other: "Position") -> None:
        """Raises `SpecError` where `other` is of a run with other rows, or other given weights."""
        if other.data != self.data:
            raise SpecError("the table has changed since this run began; train on it in another folder")
        if other.given != self.given:
            raise SpecError(
                "the pretrained weights are not those this run began with; put back the model that was there, or train "
                "in another folder"
            )


Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a checkpoint held beside network and optimiser: the position, the average, and the best weights so far."""

    position: Position
    average: Tensors
    best: Tensors


class CheckpointFolder:
    """The checkpoints of one run: `save` adds one and drops the oldest, `load` takes the newest that is whole.

    Of several processes all have to `save`, and one `writes`. What is divided between them is whole on the disk, so
    that any number of processes can go on from there, divided or not.
    """

    def __init__(self, folder: Path, *, writes: bool = True) -> None:
        self.folder, self.writes = folder, writes
        self.passed_over: list[str] = []
        """What was wrong with the newer checkpoints that `load` found damaged."""

    def save(
        self,
        position: Position,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        average: Tensors,
        best: Tensors,
    ) -> None:
        """Write a checkpoint; the former ones stay until it is whole on the disk. `average` and `best` may be empty.

        What the network is given and training does not change is left out.
        """
        from safetensors.torch import save

        tensors, plain = _split_optimizer(optimizer.state_dict())
        always = {"weights": learned_state(network), "optimizer": tensors, "random": _random_state()}
        kept = {name: one for name, one in (("average", average), ("best", best)) if one}
        found = {name: whole(one, keep=self.writes) for name, one in (always | kept).items()}
        if not self.writes:
            return
        files = {f"{name}.safetensors": save(_contiguous(one)) for name, one in found.items()}
        files["state.json"] = json.dumps({"position": asdict(position), "optimizer": plain}, sort_keys=True).encode()
        write_folder(self.folder / f"step-{position.step:09d}{'-done' if position.done else ''}", files)
        for old in self._found()[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)

    def load(self, network: nn.Module, optimizer: torch.optim.Optimizer) -> Restored | None:
        """Restore network, optimiser and random streams from the newest whole checkpoint; None where none ever was.

        Raises `BundleError` when there are checkpoints and every one is damaged: starting over would lose the run.
        """
        from safetensors.torch import load

        files = self._newest_whole()
        if files is None:
            return None
        state = json.loads(files["state.json"])
        load_learned(network, parts(load(files["weights.safetensors"]), network.state_dict()))
        tensors = load(files["optimizer.safetensors"])
        tensors = parts(tensors, _learned(optimizer, tensors))
        optimizer.load_state_dict(_join_optimizer(tensors, state["optimizer"]))
        _restore_random(load(files["random.safetensors"]))
        kept = {
            name: load(files[f"{name}.safetensors"]) for name in ("average", "best") if f"{name}.safetensors" in files
        }
        best = parts(kept.get("best", {}), network.state_dict())
        return Restored(Position(**state["position"]), kept.get("average", {}), best)

    def _newest_whole(self) -> dict[str, bytes] | None:
        self.passed_over = []
        for folder in self._found():
            try:
                return read_folder(folder)
            except BundleError as error:
                self.passed_over.append(str(error))
        if self.passed_over:
            found = "; ".join(self.passed_over)
            raise BundleError(f"no checkpoint of this run is whole; {found}; or train again in another folder")
        return None

    def _found(self) -> list[Path]:
        """The newest first; one that a crash caught while it was replaced is read all the same."""
        replaced = [path.name.removeprefix(".").removesuffix(".former") for path in self.folder.glob(".step-*.former")]
        names = {path.name for path in self.folder.glob("step-*")}.union(replaced)
        return [self.folder / name for name in sorted(names, reverse=True)]


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}


def _split_optimizer(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {
        f"{index}.{name}": value
        for index, entry in state["state"].items()
        for name, value in entry.items()
        if isinstance(value, Tensor)
    }
    return tensors, {"param_groups": state["param_groups"]}


def _learned(optimizer: torch.optim.Optimizer, tensors: Tensors) -> dict[str, Tensor]:
    """For each tensor that is as large as the parameter it belongs to, this parameter."""
    learned = [one for group in optimizer.param_groups for one in group["params"]]
    owners = {path: learned[int(path.split(".", 1)[0])] for path in tensors}
    return {path: owner for path, owner in owners.items() if owner.shape == tensors[path].shape}


def _join_optimizer(tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for path, tensor in tensors.items():
        index, name = path.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    return {"state": state, "param_groups": plain["param_groups"]}


def _random_state() -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        state |= {f"cuda.{index}": value for index, value in enumerate(torch.cuda.get_rng_state_all())}
    return state


def _restore_random(state: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(state["cpu"])
    cuda = [state[f"cuda.{index}"] for index in range(len(state) - 1)]
    if cuda and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(cuda)
