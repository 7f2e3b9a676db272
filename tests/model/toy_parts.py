"""A small task that reads parts: how many of a text's tokens are answered with 1, from a label of as many places."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from torch import Tensor, nn

from motet.core.flow import Cells, Reader
from motet.nn import Dropout, hide
from motet.tasks import Codec, Metric, PartHead, PartTask, Reading, Source
from motet.tasks.losses import labelled_loss
from motet.tasks.part import input_to_read


class LengthCodec(Codec):
    """Target: the length of a text, said of it as a whole and compared with the mean over its tokens."""

    def read(self, cell: object) -> np.ndarray:
        return np.array(float(str(cell)), dtype=np.float32)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        return {"": output.tolist()}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        return self

    def metrics(self) -> tuple[Metric, ...]:
        return (Metric("mae", False, lambda output, target: float((output - target).abs().mean())),)

    def prior(self, target: Tensor) -> Tensor:
        return target.mean()

    def trivial(self, prior: Tensor, target: Tensor) -> Tensor:
        return prior.expand(len(target))

    def certain(self, target: Tensor) -> Tensor:
        return target


class LengthHead(PartHead):
    """The mean over a text's tokens of a linear map, and what the features and the maps of a picture say."""

    def __init__(self, width: int, sources: Mapping[str, Source]) -> None:
        super().__init__()
        self.tokens = nn.ModuleDict({name: nn.Linear(one.width, 1) for name, one in sources.items()})
        channels = {name: sum(shape[0] for shape in one.maps) for name, one in sources.items() if one.maps}
        self.maps = nn.ModuleDict({name: nn.Linear(count, 1) for name, count in channels.items()})
        self.features = nn.Linear(width, 1)
        self.dropout = Dropout(0.3)

    def forward(self, reading: Reading, target: Cells) -> Tensor:
        return self.answer(reading)

    def answer(self, reading: Reading) -> Tensor:
        found: Tensor = self.features(self.dropout(reading.features))
        for name, tokens in reading.tokens.items():
            said = hide(self.tokens[name](tokens.values), tokens.mask)
            found = found + said.sum(dim=1) / tokens.mask.sum(dim=1, keepdim=True)
            if tokens.maps and name in self.maps:
                found = found + self.maps[name](torch.cat([one.mean(dim=(2, 3)) for one in tokens.maps], dim=1))
        return found[:, 0]

    def start_from(self, prior: Tensor) -> None:
        nn.init.constant_(self.features.bias, float(prior))


class Length(PartTask):
    """Of one input."""

    metric_names: ClassVar[tuple[str, ...]] = ("mae",)
    kind: Literal["length"] = "length"
    of: str | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        assert self.of is not None
        return (self.of,)

    def reading(self, kinds: Mapping[str, str]) -> Self:
        of = input_to_read(self.of, kinds, ("text", "image"), word=self.kind, field="of")
        return self.model_copy(update={"of": of})

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> LengthCodec:
        return LengthCodec()

    def restore(self, state: dict[str, Any]) -> LengthCodec:
        return LengthCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        return self

    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> LengthHead:
        return LengthHead(input_width, sources)

    def loss(self, output: Tensor, target: Cells) -> Tensor:
        return labelled_loss(lambda said, label: (said - label).square(), output, target)


class OwnLength(Length):
    """Of the tokens that have not seen the other inputs, and of the maps."""

    kind: Literal["own_length"] = "own_length"  # type: ignore[assignment]
    own_tokens: ClassVar[bool] = True
    reads_maps: ClassVar[bool] = True
