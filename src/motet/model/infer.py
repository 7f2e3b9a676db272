"""Batches -> outputs -> decoded answers: the one path of validation, evaluation, prediction and serving."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from motet.core.flow import Batch, Tokens
from motet.model.network import Decision, Network
from motet.model.variant import Variant, rows_together, stacked, together
from motet.tasks.base import Codec
from motet.tasks.part import SizedCodec

Said = Mapping[str, Mapping[str, Tensor]]
Asked = tuple[int, Mapping[str, Tokens]]
Size = tuple[int, int]
Recombine = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
"""For each input the rows it is taken from, n of them -> by task what is said of such rows, `[n, ...]`."""


@dataclass(frozen=True, slots=True)
class Collected:
    """Outputs `[N, ...]` and targets of N rows, by task.

    `labelled[task]` says which rows have a label, `present[input]` which have the input; `singles[task][input]` is what
    a throttle's single-input head says.
    """

    rows: Tensor
    outputs: Mapping[str, Tensor]
    targets: Mapping[str, Tensor]
    labelled: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    singles: Mapping[str, Mapping[str, Tensor]]

    def scored(self, task: str) -> tuple[Tensor, Tensor]:
        """Output and target of the rows labelled for `task`."""
        keep = self.labelled[task]
        return self.outputs[task][keep], self.targets[task][keep]


def collect(
    network: Network,
    batches: Iterable[Batch],
    *,
    absent: Sequence[Sequence[str]] = ((),),
    variants: Sequence[Variant] = (),
) -> list[Collected]:
    """Run the network over the batches, once for each set of inputs taken away, then for each variant of the tokens;
    inputs are encoded once for all.

    The network is put in evaluation mode and left as it was. Outputs are on the CPU, in float32 unless
    they are whole numbers.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    seen: list[Batch] = []
    decided: list[list[Said]] = [[] for _ in range(len(absent) + len(variants))]
    try:
        with torch.inference_mode():
            for batch in batches:
                tokens = network.encode(batch.to(device).inputs)
                asked = _asked(network, tokens, batch.rows, absent, variants)
                for several in _batched(asked, together(tokens, len(decided))):
                    for index, said in _decided(network, several):
                        decided[index].append(said)
                seen.append(
                    Batch({name: _bare(cells) for name, cells in batch.inputs.items()}, batch.targets, batch.rows)
                )
    finally:
        network.train(was_training)
    return [_joined(seen, parts) for parts in decided]


@contextmanager
def recombining(network: Network, batches: Iterable[Batch], tasks: Sequence[str]) -> Iterator[Recombine]:
    """The rows of the batches, encoded once: what the network says of rows whose inputs are taken from any of these.

    As many go through the network at once as are within the bounds of `collect`. `tasks` are such as say something of a
    row; those that read parts of inputs, or write, are not asked, and what only they read is not kept.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            whole = bool(network.parts.tasks)
            tokens = stacked([_kept(network.encode(batch.to(device).inputs), whole) for batch in batches])
            size = rows_together(tokens)

            def answer(chosen: Mapping[str, Tensor]) -> dict[str, Tensor]:
                several = zip(
                    *(torch.chunk(chosen[name].to(device), -(-len(chosen[name]) // size)) for name in tokens),
                    strict=True,
                )
                said = [_of_rows(network, tokens, dict(zip(tokens, rows, strict=True)), tasks) for rows in several]
                return {task: torch.cat([one[task] for one in said]) for task in tasks}

            yield answer
    finally:
        network.train(was_training)


def answers(
    codecs: Mapping[str, Codec], outputs: Mapping[str, Tensor], *, sizes: Mapping[str, Sequence[Size | None]] = {}
) -> dict[str, list[Any]]:
    """Decoded columns: `TASK` is the answer, `TASK__probability` and the like go with it.

    `sizes` are, for tasks that answer about the places of a picture, height and width of each row's own.
    """
    columns: dict[str, list[Any]] = {}
    for task, codec in codecs.items():
        decoded = codec.decode(outputs[task])
        if isinstance(codec, SizedCodec):
            decoded = codec.at_size(decoded, sizes[task])
        columns |= {f"{task}__{name}" if name else task: values for name, values in decoded.items()}
    return columns


def padded(parts: Sequence[Tensor]) -> Tensor:
    """The rows of all parts, made alike in size by padding behind: whole numbers with -1, others with 0.

    >>> padded([torch.tensor([[1]]), torch.tensor([[2, 3]])])
    tensor([[ 1, -1],
            [ 2,  3]])
    """
    if len({part.shape[1:] for part in parts}) == 1:
        return torch.cat(list(parts))
    sizes = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    first = parts[0]
    whole = first.new_full((sum(len(part) for part in parts), *sizes), 0 if first.is_floating_point() else -1)
    start = 0
    for part in parts:
        whole[(slice(start, start + len(part)), *(slice(size) for size in part.shape[1:]))] = part
        start += len(part)
    return whole


def _asked(
    network: Network,
    tokens: Mapping[str, Tokens],
    rows: Tensor,
    absent: Sequence[Sequence[str]],
    variants: Sequence[Variant],
) -> Iterator[Asked]:
    """What fusion is to read, numbered; each input is hidden at most once, and nothing is made before it is needed."""
    hidden = network.without(tokens, sorted({name for names in absent for name in names}))
    for index, names in enumerate(absent):
        yield index, {name: hidden[name] if name in names else one for name, one in tokens.items()}
    for index, variant in enumerate(variants, start=len(absent)):
        yield index, variant(tokens, rows)


def _kept(tokens: Mapping[str, Tokens], whole: bool) -> Mapping[str, Tokens]:
    """Without words and maps, which no fusion reads, unless `whole`."""
    return tokens if whole else {name: replace(one, word=None, maps=()) for name, one in tokens.items()}


def _of_rows(
    network: Network, tokens: Mapping[str, Tokens], chosen: Mapping[str, Tensor], tasks: Sequence[str]
) -> dict[str, Tensor]:
    """What is said of rows whose inputs are these."""
    said = network.decide({name: one.rows(chosen[name]) for name, one in tokens.items()}, targets={})
    return {task: _said(said[task])[""] for task in tasks}


def _batched(asked: Iterator[Asked], size: int) -> Iterator[list[Asked]]:
    while several := list(islice(asked, size)):
        yield several


def _decided(network: Network, several: Sequence[Asked]) -> Iterator[tuple[int, Said]]:
    """What is said of each of these, which go through the network as one batch."""
    said = {task: _said(one) for task, one in network.decide(stacked([tokens for _, tokens in several])).items()}
    for place, (index, _) in enumerate(several):
        yield (
            index,
            {
                task: {name: one.chunk(len(several))[place] for name, one in outputs.items()}
                for task, outputs in said.items()
            },
        )


def _said(decision: Decision) -> dict[str, Tensor]:
    """The single-input heads' outputs by input, and the joint one under the empty name."""
    said = {"": decision.output, **decision.singles}
    return {name: (one.float() if one.is_floating_point() else one).cpu() for name, one in said.items()}


def _bare(cells: Any) -> Any:
    return type(cells)({}, cells.present)


def _joined(batches: Sequence[Batch], said: Sequence[Said]) -> Collected:
    if not batches:
        raise ValueError("there are no rows to run the model on")
    first = batches[0]
    outputs = {task: {name: padded([part[task][name] for part in said]) for name in said[0][task]} for task in said[0]}
    return Collected(
        rows=torch.cat([batch.rows for batch in batches]),
        outputs={task: one[""] for task, one in outputs.items()},
        targets={
            task: padded([b.targets[task].values["target"] for b in batches])
            for task in first.targets
            if all("target" in b.targets[task].values for b in batches)
        },
        labelled={task: torch.cat([b.targets[task].present for b in batches]) for task in first.targets},
        present={name: torch.cat([b.inputs[name].present for b in batches]) for name in first.inputs},
        singles={task: {name: output for name, output in one.items() if name} for task, one in outputs.items()},
    )
