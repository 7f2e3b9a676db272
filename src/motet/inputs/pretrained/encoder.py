"""A pretrained model as an encoder: what its last layer says, as tokens. N rows, T tokens, D width."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from motet.core.errors import SpecError
from motet.core.flow import Tokens
from motet.inputs.base import Encoder
from motet.inputs.pretrained.backbone import Backbone, Read
from motet.inputs.pretrained.lora import OF_LORA
from motet.nn import Dropout, Given, Paced, masked_mean

Output = Literal["tokens", "mean", "sentence", "pooler"]
STATES = "states"
"""The tensor under which states that are known already are given, beside their `mask`."""


Tune = Literal["frozen", "full", "gradual", "lora"]
OPENED_AFTER = 0.5
"""The part of training after which a gradually opened backbone is open as a whole."""


class PretrainedEncoder(Encoder, Paced, Given):
    """What `output` makes of a backbone's states, dropout, and a projection where `width` is another than theirs.

    tokens: every state; mean: their mean over the mask; sentence: that mean divided by its length (Reimers & Gurevych,
    Sentence-BERT, EMNLP 2019); pooler: what the model itself pools. The backbone stays in evaluation mode: its own
    dropout, layer drop, and statistics of batches would make a row depend on others and on the order of steps.

    `tune`: frozen, no weight of the backbone learns; full, all do; gradual, its last layer from the start, each one
    below it 1/n of half the training later, n layers in all, and what stands before the first together with it (Howard
    & Ruder, ACL 2018, in parts of training for epochs); lora, small matrices beside its weights do, as the backbone has
    them. Layer l of L learns at `layer_decay^(L - l)` of the rate, what stands before the first at `layer_decay^L`.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        output: Output,
        width: int | None,
        dropout: float,
        tune: Tune,
        layer_decay: float = 1.0,
    ) -> None:
        super().__init__()
        self.backbone, self.output = backbone.eval(), output
        self.tune, self.layer_decay = tune, layer_decay
        self.dropout = Dropout(dropout)
        self.output_width = backbone.width if width is None else width
        as_wide = self.output_width == backbone.width
        self.project = nn.Identity() if as_wide else nn.Linear(backbone.width, self.output_width)
        if self.frozen:
            self.backbone.requires_grad_(False)

    @property
    def frozen(self) -> bool:
        """Whether no weight of the backbone learns."""
        return self.tune == "frozen"

    def at(self, progress: float) -> bool:
        """Open what is to be open by now, where the backbone is opened gradually."""
        if self.tune != "gradual":
            return False
        depths = self._depths()
        is_open = int(min(1.0, progress / OPENED_AFTER) * max(depths.values()))
        other = [one for one in self.backbone.parameters() if one.requires_grad != (depths[id(one)] <= is_open)]
        for parameter in other:
            parameter.requires_grad_(not parameter.requires_grad)
        return bool(other)

    def paces(self) -> Iterator[tuple[nn.Parameter, float]]:
        """Each parameter of the backbone with `layer_decay` to the power of how many layers lie above it."""
        if self.layer_decay < 1:
            depths = self._depths()
            for parameter in self.backbone.parameters():
                yield parameter, self.layer_decay ** depths[id(parameter)]

    def given(self) -> Iterator[str]:
        """The backbone's state as it came, but for what `tune` lets learn: that of a model that is tuned is not."""
        if self.tune in ("frozen", "lora"):
            yield from (f"backbone.{name}" for name in self.backbone.state_dict() if OF_LORA not in name)

    def train(self, mode: bool = True) -> Self:
        """As any module, but for the backbone."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        """What the backbone reads, or `states` and `mask` that are known already -> `[N, T, D]`."""
        states, mask = (values[STATES], values["mask"]) if STATES in values else self.states(values)
        word = values.get("word") if self.output == "tokens" else None
        return Tokens(self.project(self.dropout(states)), mask, mask[:, 0], word)

    def states(self, values: Mapping[str, Tensor]) -> tuple[Float[Tensor, "N T D"], Bool[Tensor, "N T"]]:
        """What `output` makes of the backbone's states.

        A frozen backbone reads row by row, each without its padding and without a graph, in the precision of its
        weights: what it says of a row is then the same, to the bit, in any batch, and can be kept.
        """
        if not self.frozen:
            return _output_of(self.backbone(values), self.output)
        with torch.no_grad():
            if torch.compiler.is_compiling():
                return _output_of(self.backbone(values), self.output)
            some = next(iter(values.values()))
            with torch.autocast(some.device.type, enabled=False):
                return _joined([self._alone(values, row) for row in range(len(some))])

    def known(self, values: Mapping[str, Tensor], *, words: bool) -> Float32[np.ndarray, "T D"]:
        """The states of the one row that is given, as they can be kept; with `words` beside the number of the word."""
        device = next(self.backbone.parameters()).device
        with torch.no_grad():
            states = self._alone({name: value.to(device) for name, value in values.items()}, 0)
        if words:
            states = torch.cat([states, values["word"][0, : len(states), None].to(states)], dim=1)
        return states.cpu().numpy()

    def _depths(self) -> dict[int, int]:
        """How many layers lie above each parameter of the backbone: all of them for what stands before the first, none
        for what stands behind the last.
        """
        layers = self.backbone.layers()
        inside = [{id(parameter) for parameter in layer.parameters()} for layer in layers]
        number = {one: place for place, group in enumerate(inside) for one in group}
        depths, seen = {}, False
        for _, parameter in self.backbone.named_parameters():
            if id(parameter) in number:
                seen, depths[id(parameter)] = True, len(layers) - 1 - number[id(parameter)]
            else:
                depths[id(parameter)] = 0 if seen else len(layers)
        return depths

    def _alone(self, values: Mapping[str, Tensor], row: int) -> Float[Tensor, "T D"]:
        """The states of one row, without those of padding."""
        one = {name: value[row : row + 1] for name, value in values.items()}
        if "mask" in one:
            length = int(one["mask"].sum())
            one = {name: value[:, :length] for name, value in one.items()}
        states, mask = _output_of(self.backbone(one), self.output)
        return states[0][mask[0]]


def _joined(rows: Sequence[Float[Tensor, "T D"]]) -> tuple[Float[Tensor, "N T D"], Bool[Tensor, "N T"]]:
    """States of rows, zeros behind the end, and where there are any."""
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    mask = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]
    return nn.utils.rnn.pad_sequence(list(rows), batch_first=True), mask


def _output_of(read: Read, output: Output) -> tuple[Float[Tensor, "N T D"], Bool[Tensor, "N T"]]:
    if output == "tokens":
        return read.states, read.mask
    if output == "pooler":
        if read.pooled is None:
            raise SpecError("encoder.output: this model pools nothing itself; use mean, sentence or tokens")
        vectors = read.pooled
    else:
        vectors = masked_mean(read.states, read.mask)
        vectors = F.normalize(vectors, dim=1) if output == "sentence" else vectors
    return vectors[:, None], torch.ones_like(read.mask[:, :1])
