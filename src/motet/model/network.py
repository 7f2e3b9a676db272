"""The whole model in one page: encode, throttle, fuse, share, part at the junction, decide, join decisions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Int64
from torch import Tensor, nn

from motet.balance import Junction, Throttle
from motet.core.flow import Cells, Fused, Tokens
from motet.fusion.base import Fusion
from motet.model.presence import PresentOnly, drop_inputs
from motet.nn.keyed import row_keys
from motet.nn.named import Named
from motet.sharing.base import Sharing
from motet.tasks.base import Head, TaskSpec


@dataclass(frozen=True, slots=True)
class Decision:
    """What the model says about one task: the joint output `[B, ...]`, and that of each stream with its presence."""

    output: Tensor
    streams: Mapping[str, Tensor]
    present: Mapping[str, Bool[Tensor, "B"]]


class Network(nn.Module):
    """`{input: Cells}` -> `{task: Decision}`. Built by `assemble`, which checks every joint."""

    def __init__(
        self,
        *,
        encoders: Mapping[str, PresentOnly],
        throttle: Throttle,
        fusion: Fusion,
        sharing: Mapping[str, Sharing],
        junction: Junction,
        heads: Mapping[str, Mapping[str, Head]],
        tasks: Mapping[str, TaskSpec],
        drop: Mapping[str, float],
    ) -> None:
        super().__init__()
        self.encoders = Named(encoders)
        self.throttle = throttle
        self.fusion = fusion
        self.sharing = Named(sharing)
        self.junction = junction
        self.heads = Named({task: Named(streams) for task, streams in heads.items()})
        self.tasks = dict(tasks)
        self.drop = dict(drop)

    def forward(self, inputs: Mapping[str, Cells], keys: Int64[Tensor, "B"] | None = None) -> dict[str, Decision]:
        """Decide every task for B rows; `keys`, one per row, seed all randomness of a training step."""
        return self.decide(self.encode(inputs, keys), keys)

    def encode(self, inputs: Mapping[str, Cells], keys: Int64[Tensor, "B"] | None = None) -> dict[str, Tokens]:
        """Each input on its own, absent ones by their learned token."""
        if self.training and keys is not None and any(self.drop.values()):
            inputs = drop_inputs(inputs, self.drop, keys)
        return {name: encoder(inputs[name], keys) for name, encoder in self.encoders.items()}

    def decide(self, tokens: Mapping[str, Tokens], keys: Int64[Tensor, "B"] | None = None) -> dict[str, Decision]:
        """From tokens to decisions."""
        with row_keys(keys):
            streams = self.fusion(self.throttle(tokens))
            shared = {name: self.sharing[name].trunk(fused.pooled) for name, fused in streams.items()}
            copies = self.junction(shared)
            return self._heads(streams, copies)

    def without(self, tokens: Mapping[str, Tokens], absent: Sequence[str]) -> dict[str, Tokens]:
        """The tokens as they were had these inputs been absent in every row: no second encoding."""
        return {
            name: self.encoders[name].hide(value, value.present | ~value.present) if name in absent else value
            for name, value in tokens.items()
        }

    def _heads(self, streams: Mapping[str, Fused], copies: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Decision]:
        features = {
            stream: self.sharing[stream].branch({task: copies[task][stream] for task in copies}) for stream in streams
        }
        present = {stream: fused.present for stream, fused in streams.items()}
        weights = {stream: fused.weight for stream, fused in streams.items()}
        decisions = {}
        for task, heads in self.heads.items():
            outputs = {stream: heads[stream](features[stream][task]) for stream in streams}
            joint = self.tasks[task].combine(outputs, weights, rule=self.fusion.rule)
            decisions[task] = Decision(joint, outputs, present)
        return decisions
