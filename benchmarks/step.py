"""P1: motet's training step beside the same model written by hand in plain PyTorch.

motet's side is all of a step: forward, loss terms, junction, backward, clipping, update and the line in the log. The
plain side is what one would write for these very tables: no masks where every row has the input, no names, no log. Both
start from the same weights and see the same batches, take turns step by step in one process with one thread, and must
end with the same bits.

    python benchmarks/step.py [--quick]
"""

import argparse
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motet import balance, fusion, inputs, sharing, tasks
from motet.core.flow import Batch, Cells
from motet.inputs.base import InputSpec
from motet.model import Network, assemble
from motet.tasks.base import TaskSpec
from motet.training import RunLog, TrainingSpec, build_optimizer, train_step
from motet.training.optimizer import rate_at, set_rate

NUM_BATCHES, STEPS_COMPARED, CLIP = 8, 20, 1.0
SPEC = TrainingSpec(epochs=1, batch_size=64, learning_rate=1e-3, precision="float32", device="cpu", clip=CLIP)
NUM_STEPS = 10_000  # of the schedule: more than are ever taken
TARGET_RATIO, TARGET_MS = 1.05, 0.3


@dataclass(frozen=True)
class Case:
    """Cells and labels, the Specs that read them, and the same model by hand."""

    name: str
    specs: Mapping[str, InputSpec]
    cells: Mapping[str, Sequence[object]]
    tasks: Mapping[str, TaskSpec]
    labels: Mapping[str, Sequence[object]]
    plain: Callable[[Network], "nn.Module"]
    width: int


def trunk_bound(batch_size: int, rng: np.random.Generator) -> Case:
    """Pictures, and sounds and texts of unequal length; three tasks."""
    rows = NUM_BATCHES * batch_size
    words = np.array(["bright", "dull", "slow", "quick", "river", "house", "seldom", "always", "green", "late"])
    texts = [" ".join(words[rng.integers(0, 10, rng.integers(4, 24))]) for _ in range(rows)]
    return Case(
        "pictures, sounds, texts",
        {
            "photo": inputs.Image(crop=0.0, drop=0.0),
            "review": inputs.Text(dropout=0.0, word_dropout=0.0, drop=0.0),
            "sound": inputs.Audio(mask=0.0, dropout=0.0, drop=0.0),
        },
        {
            "photo": list(rng.integers(0, 256, (rows, 28, 28, 1), dtype=np.uint8)),
            "review": texts,
            "sound": [(rng.standard_normal(rng.integers(2000, 4000)) / 4, 8000) for _ in range(rows)],
        },
        {"digit": tasks.Multiclass(), "liked": tasks.Binary(), "price": tasks.Regression()},
        {
            "digit": rng.integers(0, 10, rows).tolist(),
            "liked": rng.choice(["no", "yes"], rows).tolist(),
            "price": rng.standard_normal(rows).tolist(),
        },
        PlainMedia,
        width=128,
    )


def tiny(batch_size: int, rng: np.random.Generator) -> Case:
    """Four numbers and a category, two tasks."""
    rows = NUM_BATCHES * batch_size
    numbers = {name: rng.standard_normal(rows).tolist() for name in ("a", "b", "c", "d")}
    return Case(
        "four numbers, a category",
        {name: inputs.Number(width=16, drop=0.0) for name in numbers}
        | {"kind": inputs.Category(width=16, unseen=0.0, drop=0.0)},
        numbers | {"kind": rng.choice(["x", "y", "z"], rows).tolist()},
        {"liked": tasks.Binary(), "price": tasks.Regression()},
        {"liked": rng.choice(["no", "yes"], rows).tolist(), "price": rng.standard_normal(rows).tolist()},
        PlainTable,
        width=32,
    )


class PlainTail(nn.Module):
    """Everything behind the encoders: join, one shared layer, a head per task, summed losses."""

    def __init__(self, network: Network, joined: int, width: int) -> None:
        super().__init__()
        self.mix = nn.Linear(joined, width)
        self.trunk = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width), nn.GELU())
        self.heads = nn.ModuleList(nn.Linear(width, outputs) for outputs in _head_widths(network))

    def forward(self, vectors: list[Tensor]) -> list[Tensor]:
        shared = self.trunk(self.mix(torch.cat(vectors, dim=1)))
        return [head(shared) for head in self.heads]


class PlainTable(nn.Module):
    """Numbers and a category, by hand."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.numbers = nn.ModuleList(nn.Linear(network.encoders[n].encoder.embedding.in_features, 16) for n in "abcd")
        self.kind = nn.Embedding(network.encoders["kind"].encoder.embedding.num_embeddings, 16)
        self.tail = PlainTail(network, 5 * 16, 32)

    def forward(self, batch: Batch) -> Tensor:
        x = {name: cells.values for name, cells in batch.inputs.items()}
        vectors = [linear(x[name]["features"]) for name, linear in zip("abcd", self.numbers, strict=True)]
        liked, price = self.tail([*vectors, self.kind(x["kind"]["index"])])
        y = {name: cells.values["target"] for name, cells in batch.targets.items()}
        return F.binary_cross_entropy_with_logits(liked[:, 0], y["liked"]) + F.mse_loss(price[:, 0], y["price"])


class PlainMedia(nn.Module):
    """Pictures, texts and sounds, by hand."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        photo, review, sound = (network.encoders[name].encoder for name in ("photo", "review", "sound"))
        channels = [photo.stages[0].out_channels, *(block.first.out_channels for block in photo.stages[3:-1])]
        self.photo = PlainImage(channels, photo.output_width, places=len(photo.gain))
        self.review = PlainText(review.embedding.num_embeddings, review.output_width)
        self.sound = PlainAudio(sound.stem.conv.in_channels, sound.project.in_features, sound.output_width)
        self.tail = PlainTail(network, 3 * 128, 128)

    def forward(self, batch: Batch) -> Tensor:
        x = {name: cells.values for name, cells in batch.inputs.items()}
        vectors = [self.photo(x["photo"]["pixels"]), self.review(**x["review"]), self.sound(**x["sound"])]
        digit, liked, price = self.tail(vectors)
        y = {name: cells.values["target"] for name, cells in batch.targets.items()}
        loss = F.cross_entropy(digit, y["digit"]) + F.binary_cross_entropy_with_logits(liked[:, 0], y["liked"])
        return loss + F.mse_loss(price[:, 0], y["price"])


class PlainImage(nn.Module):
    """Stem, residual blocks that halve, one that does not, a gain per place, mean."""

    def __init__(self, channels: Sequence[int], width: int, *, places: int) -> None:
        super().__init__()
        first, last = channels[0], channels[-1]
        self.gain = nn.Parameter(torch.empty(places, last))
        self.stem = nn.Sequential(
            PlainConv(1, first, 3, stride=2, padding=1, bias=False), nn.GroupNorm(min(8, first // 4), first), nn.ReLU()
        )
        halving = [PlainBlock(a, b, stride=2) for a, b in pairwise(channels)]
        self.blocks = nn.Sequential(*halving, PlainBlock(last, last, stride=1))
        self.project = nn.Linear(last, width)

    def forward(self, pixels: Tensor) -> Tensor:
        grid = self.blocks(self.stem(pixels))
        return self.project(self.gain * grid.flatten(2).transpose(1, 2)).mean(dim=1)


class PlainConv(nn.Conv2d):
    """A convolution with standardised filters."""

    def forward(self, x: Tensor) -> Tensor:
        filters = F.layer_norm(self.weight.flatten(1), (self.weight[0].numel(),), eps=1e-6)
        filters = filters.view_as(self.weight) / math.sqrt(self.weight[0].numel())
        return F.conv2d(x, filters, None, self.stride, self.padding)


class PlainBlock(nn.Module):
    """A residual block of pictures."""

    def __init__(self, channels: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.first = PlainConv(channels, outputs, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nn.GroupNorm(min(8, outputs // 4), outputs)
        self.second = PlainConv(outputs, outputs, 3, padding=1, bias=False)
        self.second_norm = nn.GroupNorm(min(8, outputs // 4), outputs)
        self.shortcut = (
            nn.Sequential(nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(channels, outputs, 1, bias=False))
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(self.first(x)))
        return F.relu(self.second_norm(self.second(inner)) + self.shortcut(x))


class PlainText(nn.Module):
    """Embedding and a GRU from either end, each starting where the text does."""

    def __init__(self, num_ids: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_ids, width)
        self.ahead = nn.GRU(width, width // 2, batch_first=True)
        self.behind = nn.GRU(width, width // 2, batch_first=True)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        hidden, length = ~mask[:, :, None], mask.sum(dim=1, keepdim=True)
        x = self.embedding(ids).masked_fill(hidden, 0.0)
        place = torch.arange(ids.shape[1])
        order = torch.where(mask, length - 1 - place, place)[:, :, None]
        ahead, _ = self.ahead(x)
        behind, _ = self.behind(x.gather(1, order.expand(-1, -1, x.shape[2])))
        both = torch.cat([ahead, behind.gather(1, order.expand(-1, -1, behind.shape[2]))], dim=2)
        return both.masked_fill(hidden, 0.0).sum(dim=1) / length


class PlainAudio(nn.Module):
    """Convolutions over frames that read zeros behind the end of a sound, mean over the frames there are."""

    def __init__(self, mels: int, channels: int, width: int) -> None:
        super().__init__()
        self.stem = PlainFrames(mels, channels, kernel=5, stride=2)
        self.blocks = nn.ModuleList([PlainFrameBlock(channels, stride=2), PlainFrameBlock(channels, stride=1)])
        self.project = nn.Linear(channels, width)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        x, hidden = F.relu(self.stem(frames)), ~mask[:, ::2, None]
        for block in self.blocks:
            x, hidden = block(x, hidden), hidden[:, :: block.stride]
        return self.project(x).masked_fill(hidden, 0.0).sum(dim=1) / (~hidden).sum(dim=1)


class PlainFrames(nn.Module):
    """A convolution over time and a norm of each frame."""

    def __init__(self, channels: int, outputs: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2))


class PlainFrameBlock(nn.Module):
    """A residual block of sounds."""

    def __init__(self, channels: int, *, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.first = PlainFrames(channels, channels, kernel=3, stride=stride)
        self.second = PlainFrames(channels, channels, kernel=3, stride=1)
        self.shortcut = nn.Linear(channels, channels, bias=False)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        x = x.masked_fill(hidden, 0.0)
        inner = F.relu(self.first(x)).masked_fill(hidden[:, :: self.stride], 0.0)
        return F.relu(self.second(inner) + self.shortcut(x[:, :: self.stride]))


def motet_side(case: Case, network: Network, batches: Sequence[Batch], log: RunLog) -> Iterator[None]:
    """One training step with each `next`."""
    optimizer = build_optimizer(network.train(), SPEC)
    priorities = {task: spec.weight_at(1.0) for task, spec in case.tasks.items()}
    for step, batch in enumerate(cycle(batches)):
        rate = rate_at(step, NUM_STEPS, SPEC)
        set_rate(optimizer, rate)
        result = train_step(network, optimizer, [batch], priorities=priorities, seed=0, step=step, clip=CLIP)
        log.write({"step": step + 1, "epoch": 1, "losses": result.losses, "learning_rate": rate})
        yield


def plain_side(model: nn.Module, batches: Sequence[Batch]) -> Iterator[None]:
    """One training step with each `next`."""
    optimizer = build_optimizer(model.train(), SPEC)
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    for step, batch in enumerate(cycle(batches)):
        set_rate(optimizer, rate_at(step, NUM_STEPS, SPEC))
        optimizer.zero_grad()
        model(batch).backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        yield


def build(case: Case) -> tuple[Network, nn.Module, list[Batch]]:
    """Both models with the same weights, and the batches."""
    read = {name: (spec, spec.fit(case.cells[name])) for name, spec in case.specs.items()}
    asked = {name: (spec, spec.fit(case.labels[name])) for name, spec in case.tasks.items()}
    network = assemble(
        inputs=read,
        tasks=asked,
        fusion=fusion.Concat(width=case.width),
        sharing=sharing.Hard(width=case.width, dropout=0.0),
        task_balance=balance.Fixed(),
        modality_balance=balance.NoThrottle(),
    )
    plain = case.plain(network)
    with torch.no_grad():
        for (name, ours), theirs in zip(trained(network), plain.parameters(), strict=True):
            assert ours.shape == theirs.shape, name
            theirs.copy_(ours)
    items = {
        name: [reader.read(cell) for cell in (case.cells | case.labels)[name]]
        for name, (_, reader) in (read | asked).items()
    }
    size = len(next(iter(items.values()))) // NUM_BATCHES

    def cells(name: str, reader: object, start: int) -> Cells:
        return Cells(reader.batch(items[name][start : start + size]), torch.ones(size, dtype=torch.bool))

    batches = [
        Batch(
            {name: cells(name, reader, start) for name, (_, reader) in read.items()},
            {name: cells(name, reader, start) for name, (_, reader) in asked.items()},
            torch.arange(start, start + size),
        )
        for start in range(0, NUM_BATCHES * size, size)
    ]
    return network, plain, batches


def trained(network: Network) -> list[tuple[str, nn.Parameter]]:
    """The parameters that a hand-written model has: all but the tokens of absent inputs and the answers without any."""
    return [
        (name, one)
        for name, one in network.named_parameters()
        if not name.endswith(".absent") and not name.startswith("priors.")
    ]


def _head_widths(network: Network) -> list[int]:
    return [head.linear.out_features for _, streams in network.heads.items() for _, head in streams.items()]


def measure(case: Case, rounds: int, steps: int, log: RunLog) -> dict[str, list[float]]:
    network, plain, batches = build(case)
    sides = {"plain": plain_side(plain, batches), "motet": motet_side(case, network, batches, log)}
    for _ in range(STEPS_COMPARED):
        for side in sides.values():
            next(side)
    for (name, ours), theirs in zip(trained(network), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs), f"{name} differs by {(ours - theirs).abs().max():.2e}"
    num_weights = sum(one.numel() for one in plain.parameters())
    print(f"{case.name}: after {STEPS_COMPARED} steps all {num_weights:,} weights are bit-equal")
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for step in range(steps):  # who goes first alternates, so that neither side always finds the cache warm
            for name in list(sides)[:: 1 if step % 2 else -1]:
                start = time.perf_counter()
                next(sides[name])
                taken[name].append(time.perf_counter() - start)
        for name, seconds in taken.items():
            times[name].append(statistics.median(seconds))  # other programs come and go on a machine
    return times


def row(case: Case, times: Mapping[str, Sequence[float]]) -> str:
    pairs = list(zip(times["motet"], times["plain"], strict=True))
    ratios, extra = [ours / theirs for ours, theirs in pairs], [1e3 * (ours - theirs) for ours, theirs in pairs]
    plain, motet = (1e3 * statistics.median(times[name]) for name in ("plain", "motet"))
    return f"| {case.name} | {plain:.2f} | {motet:.2f} | {_spread(ratios, '.3f')} | {_spread(extra, '+.2f')} |"


def _spread(values: Sequence[float], style: str) -> str:
    return f"{statistics.median(values):{style}} ({min(values):{style}} to {max(values):{style}})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few steps, and small batches")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    rounds, batch_size = (7, 16) if quick else (11, 64)
    lines = []
    with tempfile.TemporaryDirectory() as folder, RunLog(Path(folder) / "log.jsonl") as log:
        for make, steps in ((trunk_bound, 2 if quick else 8), (tiny, 20 if quick else 200)):
            case = make(batch_size, np.random.default_rng(0))
            lines.append(row(case, measure(case, rounds, steps, log)))
    print(
        f"\nbatch {batch_size}, {rounds} rounds, 1 thread; target: ratio <= {TARGET_RATIO}, or <= {TARGET_MS} ms more\n"
    )
    print("| model | plain ms/step | motet ms/step | ratio: median (range) | ms more: median (range) |")
    print("|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
