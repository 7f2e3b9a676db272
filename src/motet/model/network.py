"""The whole model in one page: encode, throttle, fuse, share, part at the junction, decide, join decisions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from motet.balance import Junction, Throttle
from motet.core.flow import Cells, Fused, LossTerm, Tokens
from motet.fusion.base import Fusion
from motet.model.parts import PartHeads, mean_over_streams, tokens_seen
from motet.model.presence import Drop, PresentOnly, drop_inputs
from motet.model.share import learned_by
from motet.nn.keyed import row_keys
from motet.nn.named import Named
from motet.nn.pooling import masked_mean
from motet.nn.prior import Prior
from motet.sharing.base import Sharing
from motet.tasks.base import TaskSpec
from motet.tasks.row import Head
from motet.tasks.rules import Opinion, Rule


@dataclass(frozen=True, slots=True)
class Decision:
    """What the model says about one task: the joint output `[B, ...]`, each stream's opinion, and what the single-input
    heads of a throttle say, by input; the last take no part in the joint one.

    Of a task that reads parts there is the output alone. Where labels are given it is what the loss takes, for the
    `rows` with a label that the task can say something about.
    """

    output: Tensor
    opinions: Mapping[str, Opinion] = field(default_factory=dict)
    singles: Mapping[str, Tensor] = field(default_factory=dict)
    rows: Int64[Tensor, "n"] | None = None


class Network(nn.Module):
    """`{input: Cells}` -> `{task: Decision}`. Built by `assemble`, which checks every joint.

    A row without any input is answered with the learned `priors`, whatever fusion makes of it. Tasks that decide about
    rows have `heads`, one for each stream, `rules` and `priors`; those that read parts of inputs, or write, have one
    head each in `parts`.
    """

    def __init__(
        self,
        *,
        encoders: Mapping[str, PresentOnly],
        throttle: Throttle,
        fusion: Fusion,
        sharing: Mapping[str, Sharing],
        junction: Junction,
        heads: Mapping[str, Mapping[str, Head]],
        parts: PartHeads,
        rules: Mapping[str, Rule],
        priors: Mapping[str, Prior],
        singles: Mapping[str, Mapping[str, Head]],
        tasks: Mapping[str, TaskSpec],
        drop: Mapping[str, Drop],
    ) -> None:
        super().__init__()
        self.encoders = Named(encoders)
        self.throttle = throttle
        self.fusion = fusion
        self.sharing = Named(sharing)
        self.junction = junction
        self.heads = Named({task: Named(streams) for task, streams in heads.items()})
        self.parts = parts
        self.rules = Named(rules)
        self.priors = Named(priors)
        self.singles = Named({task: Named(inputs) for task, inputs in singles.items()})
        self.tasks = dict(tasks)
        self.drop = dict(drop)
        junction.shared = self._learning()

    def forward(
        self,
        inputs: Mapping[str, Cells],
        keys: Int64[Tensor, "B"] | None = None,
        targets: Mapping[str, Cells] | None = None,
        *,
        progress: float = 1.0,
    ) -> dict[str, Decision]:
        """Decide every task for B rows; `keys`, one per row, seed all randomness of a training step."""
        return self.decide(self.encode(inputs, keys, progress=progress), keys, targets)

    def encode(
        self, inputs: Mapping[str, Cells], keys: Int64[Tensor, "B"] | None = None, *, progress: float = 1.0
    ) -> dict[str, Tokens]:
        """Each input on its own, absent ones by their learned token.

        In training some are taken away, as many as `drop` says for that part of training (`progress`, from 0 to 1).
        """
        return self.encode_shown(self.shown(inputs, keys, progress=progress), keys, progress=progress)

    def shown(
        self, inputs: Mapping[str, Cells], keys: Int64[Tensor, "B"] | None, *, progress: float
    ) -> Mapping[str, Cells]:
        """What `encode` leaves of the inputs: in training, without what is taken away."""
        if not self.training or keys is None:
            return inputs
        rates = {name: drop.at(progress) for name, drop in self.drop.items()}
        inputs = drop_inputs(inputs, rates, keys) if any(rates.values()) else inputs
        kept = self.throttle.keep({name: cells.present for name, cells in inputs.items()}, keys)
        return {name: Cells(cells.values, kept[name]) for name, cells in inputs.items()}

    def encode_shown(
        self, inputs: Mapping[str, Cells], keys: Int64[Tensor, "B"] | None = None, *, progress: float = 1.0
    ) -> dict[str, Tokens]:
        """`encode` of inputs that nothing is taken from."""
        if self.training and keys is not None:
            changed = [one.encoder.at(progress) for _, one in self.encoders.items()]
            if any(changed) and self.junction.shared is not None:
                self.junction.shared = self._learning()
        return {name: encoder(inputs[name], keys) for name, encoder in self.encoders.items()}

    def decide(
        self,
        tokens: Mapping[str, Tokens],
        keys: Int64[Tensor, "B"] | None = None,
        targets: Mapping[str, Cells] | None = None,
        *,
        mix: Callable[[Tensor], Tensor] | None = None,
    ) -> dict[str, Decision]:
        """From tokens to decisions; `mix` is what becomes of the vectors `[B, D]` that fusion makes of rows.

        Given `targets`, tasks that read parts of inputs, or write, say what their loss takes, for the rows with a label
        there; those without such a row are left out. Else they answer every row.
        """
        with row_keys(keys):
            throttled, alone = self.throttle(tokens)
            streams = self.fusion(throttled)
            if mix is not None:
                streams = {name: replace(fused, pooled=mix(fused.pooled)) for name, fused in streams.items()}
            own = {name: replace(throttled[name], word=one.word, maps=one.maps) for name, one in tokens.items()}
            seen = tokens_seen(streams)
            shared = {name: self.sharing[name].trunk(fused.pooled) for name, fused in streams.items()}
            copies = self.junction(shared | self.parts.passing(own, seen))
            features = self._features(copies, streams)
            decisions = self._heads(streams, features, alone)
            reading = {task: mean_over_streams(features[task], streams) for task in self.parts.tasks}
            if targets is None:
                said = self.parts.answers(copies, reading, own, seen)
                return decisions | {task: Decision(output) for task, output in said.items()}
            learnt = self.parts.to_learn_from(copies, reading, own, seen, targets=targets, keys=keys)
            return decisions | {task: Decision(output, rows=rows) for task, (output, rows) in learnt.items()}

    def objectives(self, tokens: Mapping[str, Tokens], keys: Int64[Tensor, "B"] | None = None) -> dict[str, LossTerm]:
        """What the fusion learns without labels, by name: as it has it, in full precision, of tokens as `encode` made
        them; what the throttle scales is the gradient of tasks.
        """
        if not self.fusion.learns_alone:
            return {}
        exact = {name: replace(one, values=_in_full(one.values), word=None, maps=()) for name, one in tokens.items()}
        with row_keys(keys):
            return self.fusion.objectives(exact, keys)

    def loss(self, task: str, output: Tensor, target: Cells) -> Float[Tensor, "B"]:
        """The loss of each row: as the rule has it that joins what streams say, or where none does, the task."""
        judged = self.rules[task] if task in self.rules else self.tasks[task]
        return judged.loss(output, target)

    def without(self, tokens: Mapping[str, Tokens], absent: Sequence[str]) -> dict[str, Tokens]:
        """The tokens as they were had these inputs been absent in every row: no second encoding."""
        return {
            name: self.encoders[name].hide(value, value.present | ~value.present) if name in absent else value
            for name, value in tokens.items()
        }

    def encoder_parameters(self) -> dict[str, list[nn.Parameter]]:
        """The parameters of each input's encoder; inputs that share one have the same."""
        return {name: learned_by(one.encoder) for name, one in self.encoders.items()}

    def epoch_end(self, valid: Mapping[str, Mapping[str, float]] | None) -> None:
        """An epoch is over; `valid` is as for `Throttle.epoch_end`."""
        self.throttle.epoch_end(valid)
        for _, rule in self.rules.items():
            rule.epoch_end()

    def _learning(self) -> list[nn.Parameter]:
        """The parameters that tasks share and that learn by now, since encoders may open gradually."""
        rooms = (self.encoders, self.throttle, self.fusion, self.sharing)
        return [one for room in rooms for one in room.parameters() if one.requires_grad]

    def _features(
        self, copies: Mapping[str, Mapping[str, Tensor]], streams: Mapping[str, Fused]
    ) -> dict[str, dict[str, Float[Tensor, "B D"]]]:
        """What each task reads of each stream."""
        found = {
            stream: self.sharing[stream].branch({task: copies[task][stream] for task in copies}) for stream in streams
        }
        return {task: {stream: found[stream][task] for stream in streams} for task in copies}

    def _heads(
        self,
        streams: Mapping[str, Fused],
        features: Mapping[str, Mapping[str, Tensor]],
        alone: Mapping[str, Tokens],
    ) -> dict[str, Decision]:
        """What tasks decide about rows."""
        known = torch.stack([fused.present for fused in streams.values()]).any(dim=0)
        pooled = {name: masked_mean(one.values, one.mask) for name, one in alone.items()}
        decisions = {}
        for task, heads in self.heads.items():
            rule = self.rules[task]
            opinions = {
                stream: _opinion(rule, heads[stream], features[task][stream], fused)
                for stream, fused in streams.items()
            }
            heard = {s: _apart(one) for s, one in opinions.items()} if self.fusion.separate else opinions
            joint = self.priors[task](rule(heard), known=known)
            singles = {name: self.singles[task][name](pooled[name]) for name in pooled}
            decisions[task] = Decision(joint, opinions, singles)
        return decisions


def _in_full(values: Tensor) -> Tensor:
    """Not in half precision; in double where they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _opinion(rule: Rule, head: Head, features: Tensor, fused: Fused) -> Opinion:
    return Opinion(rule.stated(head(features)), features, fused.present, fused.weight)


def _apart(opinion: Opinion) -> Opinion:
    """The same opinion, untouched by how the joint decision turns out."""
    return Opinion(opinion.output.detach(), opinion.features.detach(), opinion.present, opinion.weight)
