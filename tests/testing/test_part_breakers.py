"""Each check of the suite of tasks that read parts fails for one deliberately broken task, and only for that."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from motet.core.errors import CellError, DataError
from motet.core.flow import Cells, Reader
from motet.nn import hide
from motet.tasks import Codec, Metric, PartHead, PartTask, Reading, Source
from motet.tasks.losses import labelled_loss
from motet.tasks.part import input_to_read
from motet.testing import check_task, examples, suite
from motet.testing.part import CHECKS
from motet.testing.part_case import PartCase

LABELS = [float(number % 5) for number in range(12)]


class ToyCodec(Codec):
    """Target: a number. Output: the number, and 1 where something was there to read."""

    def read(self, cell: object) -> np.ndarray:
        if not isinstance(cell, int | float):
            raise CellError("not a number")
        return np.array(cell, dtype=np.float32)

    def batch(self, items: Sequence[np.ndarray]) -> dict[str, Tensor]:
        return {"target": torch.from_numpy(np.stack(items))}

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        return {"": [value if known else None for value, known in output.tolist()]}

    def calibrated(self, output: Tensor, target: Tensor) -> Self:
        return self

    def metrics(self) -> tuple[Metric, ...]:
        return (
            Metric("mae", False, lambda output, target: float((output[:, 0] - target).abs().mean())),
            Metric("rmse", False, lambda output, target: float((output[:, 0] - target).square().mean().sqrt())),
        )

    def prior(self, target: Tensor) -> Tensor:
        return target.mean()

    def trivial(self, prior: Tensor, target: Tensor) -> Tensor:
        return torch.stack([prior.expand(len(target)), torch.ones(len(target))], dim=1)

    def certain(self, target: Tensor) -> Tensor:
        return torch.stack([target, torch.ones_like(target)], dim=1)


class ToyHead(PartHead):
    """A perceptron on the mean of the tokens and on the features."""

    def __init__(self, width: int, source: Source) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width + source.width, 32), nn.Linear(32, 1)

    def forward(self, reading: Reading, target: Cells) -> Tensor:
        return self.value(reading)

    @torch.no_grad()
    def answer(self, reading: Reading) -> Tensor:
        present = reading.tokens["code"].present.float()
        return torch.stack([self.value(reading) * present, present], dim=1)

    def value(self, reading: Reading) -> Tensor:
        mean = self.mean(reading)
        found: Tensor = self.second(torch.tanh(self.first(torch.cat([mean, reading.features], dim=1))))
        return found[:, 0]

    def mean(self, reading: Reading) -> Tensor:
        tokens = reading.tokens["code"]
        return hide(tokens.values, tokens.mask).sum(dim=1) / tokens.mask.sum(dim=1, keepdim=True)

    def start_from(self, prior: Tensor) -> None:
        nn.init.constant_(self.second.bias, float(prior))


class Toy(PartTask):
    """Sound as it is."""

    metric_names: ClassVar[tuple[str, ...]] = ("mae", "rmse")
    kind: Literal["toy"] = "toy"
    of: str | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        assert self.of is not None
        return (self.of,)

    def reading(self, kinds: Mapping[str, str]) -> Self:
        of = input_to_read(self.of, kinds, ("vector",), word=self.kind, field="of")
        return self.model_copy(update={"of": of})

    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> ToyCodec:
        if not [cell for cell in cells if isinstance(cell, float)]:
            raise DataError("no number")
        return ToyCodec()

    def restore(self, state: dict[str, Any]) -> ToyCodec:
        return ToyCodec.model_validate(state)

    def resolved(self, codec: Codec) -> Self:
        return self

    def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> PartHead:
        return ToyHead(input_width, sources["code"])

    def loss(self, output: Tensor, target: Cells) -> Tensor:
        return labelled_loss(lambda said, label: (said - label).square(), output, target)


class Forgetful(Toy):
    strength: float = Field(default=0.9, exclude=True)


class Shifted(ToyCodec):
    shift: float = Field(default=0.0, exclude=True)

    def read(self, cell: object) -> np.ndarray:
        return super().read(cell) + np.float32(self.shift)

    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        return super().decode(output - torch.tensor([self.shift, 0.0]))


class Unread(Toy):
    def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> ToyCodec:
        super().fit(cells, readers)
        return Shifted(shift=1.0)

    def restore(self, state: dict[str, Any]) -> ToyCodec:
        return Shifted.model_validate(state)


class NeverResolved(Toy):
    size: Literal["auto"] = "auto"


class Gullible(ToyCodec):
    def read(self, cell: object) -> np.ndarray:
        return super().read(0.0 if isinstance(cell, dict) else cell)


class Multiplied(Toy):
    def loss(self, output: Tensor, target: Cells) -> Tensor:
        return (output - target.values["target"]) ** 2 * target.present


class OtherMetrics(Toy):
    metric_names: ClassVar[tuple[str, ...]] = ("rmse", "mae")


class Curt(ToyCodec):
    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        return super().decode(output) | {"remark": ["fine", "so so"]}


class Talkative(ToyCodec):
    def decode(self, output: Tensor) -> dict[str, list[Any]]:
        return {"": output[:, 0].tolist()}


class Doubtful(ToyCodec):
    def certain(self, target: Tensor) -> Tensor:
        return super().certain(target + 1)


class Short(ToyCodec):
    def trivial(self, prior: Tensor, target: Tensor) -> Tensor:
        return super().trivial(prior, target)[:1].expand(len(target), 2)[: len(target) - 1]

    def metrics(self) -> tuple[Metric, ...]:
        return tuple(replace(one, compute=_cut(one.compute)) for one in super().metrics())


class Miscounted(ToyCodec):
    def metrics(self) -> tuple[Metric, ...]:
        def counts(output: Tensor, target: Tensor) -> np.ndarray:
            return np.ones((len(output), 1))

        return tuple(replace(one, counts=counts, of_counts=lambda sums: 7.0) for one in super().metrics())


def _cut(compute: Callable[[Tensor, Tensor], float]) -> Callable[[Tensor, Tensor], float]:
    """As many targets as there are outputs."""
    return lambda output, target: compute(output, target[: len(output)])


class Averaged(ToyHead):
    def forward(self, reading: Reading, target: Cells) -> Tensor:
        return self.value(reading) + 0.01 * self.value(reading).mean()


class Unmasked(ToyHead):
    def mean(self, reading: Reading) -> Tensor:
        return reading.tokens["code"].values.mean(dim=1)


class TwoFaced(ToyHead):
    def answer(self, reading: Reading) -> Tensor:
        return super().answer(reading) * torch.tensor([-1.0, 1.0])


class Offset(ToyHead):
    def __init__(self, width: int, source: Source) -> None:
        super().__init__(width, source)
        self.offset = torch.randn(1)

    def value(self, reading: Reading) -> Tensor:
        return super().value(reading) + self.offset


class Idle(ToyHead):
    def __init__(self, width: int, source: Source) -> None:
        super().__init__(width, source)
        self.idle = nn.Parameter(torch.ones(2))


class Hidden(ToyHead):
    def __init__(self, width: int, source: Source) -> None:
        super().__init__(width, source)
        self.factors = [torch.ones(1, requires_grad=True)]


def headed_by(head: type[ToyHead]) -> Toy:
    class Headed(Toy):
        def build(self, codec: Codec, input_width: int, sources: Mapping[str, Source]) -> PartHead:
            return head(input_width, sources["code"])

    return Headed()


def coded_by(codec: type[ToyCodec]) -> Toy:
    class Coded(Toy):
        def fit(self, cells: Iterable[object], readers: Mapping[str, Reader]) -> ToyCodec:
            super().fit(cells, readers)
            return codec()

        def restore(self, state: dict[str, Any]) -> ToyCodec:
            return codec.model_validate(state)

    return Coded()


BREAKERS: dict[str, PartTask] = {
    "spec_survives_json": Forgetful(strength=0.8),
    "codec_survives_json": Unread(),
    "the_resolved_spec_fits_to_the_same": NeverResolved(),
    "bad_labels_are_refused_and_passed_over": coded_by(Gullible),
    "unlabelled_rows_cost_nothing": Multiplied(),
    "rows_are_alone": headed_by(Averaged),
    "padding_changes_nothing": headed_by(Unmasked),
    "every_parameter_learns": headed_by(Idle),
    "nothing_learns_unseen": headed_by(Hidden),
    "rows_are_memorised": headed_by(TwoFaced),
    "rows_without_input_have_no_answer": coded_by(Talkative),
    "answers_are_one_per_row": coded_by(Curt),
    "metrics_are_as_declared": OtherMetrics(),
    "certain_outputs_are_perfect": coded_by(Doubtful),
    "the_trivial_answer_knows_no_input": coded_by(Short),
    "drawn_rows_score_as_such": coded_by(Miscounted),
    "state_dict_is_all": headed_by(Offset),
}


@pytest.fixture(autouse=True)
def toys_have_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(examples.PART_INPUTS, "toy", lambda: {"code": ("vector", examples.input_cells("vector"))})


def test_the_sound_task_passes() -> None:
    check_task(Toy(), LABELS)


def test_every_check_has_a_breaker() -> None:
    assert list(BREAKERS) == [check.__name__ for check in CHECKS]


@pytest.mark.parametrize("check", BREAKERS)
def test_a_breaker_fails_its_check_alone(check: str) -> None:
    assert list(suite.failures(CHECKS, PartCase(BREAKERS[check], LABELS))) == [check]


def test_a_task_without_example_inputs_says_where_to_add_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(examples.PART_INPUTS, "toy")
    with pytest.raises(AssertionError, match=r"no inputs for 'toy'.*PART_INPUTS"):
        check_task(Toy(), LABELS)
