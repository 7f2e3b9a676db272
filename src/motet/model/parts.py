"""The heads of the tasks that read parts of inputs or write: what passes the junction for them, and what they decide.

B rows, D width of the features, d of an input's tokens.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from motet.core.flow import Cells, Fused, Tokens
from motet.nn.keyed import row_keys
from motet.nn.named import Named
from motet.tasks.part import PartHead, PartTask, Reading

TokensByInput = Mapping[str, Tokens]


class PartHeads(nn.Module):
    """One head for each of the tasks, however many streams there are.

    What a task reads passes the junction like the shared features do, so that its gradients meet those of the others:
    of each input the tokens of its encoder or, where fusion has them, those that have seen the other inputs, and maps.
    """

    def __init__(self, heads: Mapping[str, PartHead], tasks: Mapping[str, PartTask]) -> None:
        super().__init__()
        self.heads = Named(heads)
        self.tasks = {name: tasks[name] for name in sorted(heads)}

    def passing(self, own: TokensByInput, seen: TokensByInput) -> dict[str, Tensor]:
        """Everything any of the tasks reads, by a key of its own."""
        return {
            key: tensor
            for task in self.tasks.values()
            for name in task.reads
            for key, tensor in _tensors(task, name, own, seen).items()
        }

    def answers(
        self,
        copies: Mapping[str, Mapping[str, Tensor]],
        features: Mapping[str, Float[Tensor, "B D"]],
        own: TokensByInput,
        seen: TokensByInput,
    ) -> dict[str, Tensor]:
        """Each task's output `[B, ...]`."""
        return {
            name: head.answer(self._reading(name, copies[name], features[name], own, seen))
            for name, head in self.heads.items()
        }

    def to_learn_from(
        self,
        copies: Mapping[str, Mapping[str, Tensor]],
        features: Mapping[str, Float[Tensor, "B D"]],
        own: TokensByInput,
        seen: TokensByInput,
        *,
        targets: Mapping[str, Cells],
        keys: Int64[Tensor, "B"] | None,
    ) -> dict[str, tuple[Tensor, Int64[Tensor, "n"]]]:
        """What each task's loss takes, and for which rows: those with a label about which something can be said.

        A task without such a row is left out.
        """
        found = {}
        for name, head in self.heads.items():
            target = targets.get(name)
            if target is None or not target.values:
                continue
            known = self.tasks[name].known({one: own[one].present for one in self.tasks[name].reads})
            rows = (target.present & known).nonzero().squeeze(1)
            if len(rows):
                reading = self._reading(name, copies[name], features[name], own, seen).rows(rows)
                with row_keys(None if keys is None else keys[rows]):
                    found[name] = head(reading, target.rows(rows)), rows
        return found

    def _reading(
        self, name: str, copies: Mapping[str, Tensor], features: Tensor, own: TokensByInput, seen: TokensByInput
    ) -> Reading:
        task = self.tasks[name]
        tokens = {}
        for one in task.reads:
            values, *maps = (copies[key] for key in _tensors(task, one, own, seen))
            tokens[one] = replace(_source(task, one, own, seen), values=values, word=own[one].word, maps=tuple(maps))
        return Reading(features, tokens)


def mean_over_streams(
    features: Mapping[str, Float[Tensor, "B D"]], streams: Mapping[str, Fused]
) -> Float[Tensor, "B D"]:
    """One task's features of all streams, by their share in the joint decision; those of one stream as they are."""
    if len(features) == 1:
        return next(iter(features.values()))
    parts = []
    for stream in sorted(features):
        weight = streams[stream].weight[:, None].to(features[stream].dtype)
        parts.append(weight * torch.where(weight > 0, features[stream], 0.0))
    return torch.stack(parts).sum(dim=0)


def tokens_seen(streams: Mapping[str, Fused]) -> TokensByInput:
    """The tokens of the stream that has them."""
    return next((fused.tokens for fused in streams.values() if fused.tokens is not None), {})


def _source(task: PartTask, name: str, own: TokensByInput, seen: TokensByInput) -> Tokens:
    return own[name] if task.own_tokens or name not in seen else seen[name]


def _tensors(task: PartTask, name: str, own: TokensByInput, seen: TokensByInput) -> dict[str, Tensor]:
    """The tokens and the maps of one input as this task reads them, under the keys they pass the junction by."""
    tokens = _source(task, name, own, seen)
    maps = own[name].maps if task.reads_maps else ()
    kind = "own" if tokens is own[name] else "seen"
    return {f"{name}\0{kind}": tokens.values} | {f"{name}\0map {i}": one for i, one in enumerate(maps)}
