"""A task that reads parts, with labels and example inputs to read. B rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from motet.core.flow import Cells
from motet.inputs.base import Preparation
from motet.model.presence import PresentOnly
from motet.spec.registry import ROOMS
from motet.tasks.base import Codec
from motet.tasks.part import PartHead, PartTask, Reading, Source
from motet.testing import suite
from motet.testing.examples import PartInputs, part_inputs

WIDTH = 12
SMALL: dict[str, dict[str, Any]] = {
    "image": {"size": (16, 16), "width": 16, "first": 8},
    "text": {"vocabulary": 300, "width": 16, "dropout": 0.0},
    "audio": {"width": 16, "channels": 16, "dropout": 0.0},
    "vector": {"width": 16, "dropout": 0.0},
}
"""Encoders small enough to be trained in a test."""


@dataclass(frozen=True)
class PartCase:
    """A Spec, labels, and inputs with a row for each label, encoded once by untrained encoders."""

    given: PartTask
    labels: Sequence[object]
    beside: PartInputs | None = None

    @cached_property
    def inputs(self) -> PartInputs:
        """Those that were given, or else the examples of its kind."""
        return part_inputs(self.given.kind) if self.beside is None else self.beside

    @cached_property
    def spec(self) -> PartTask:
        """With the inputs it reads written out."""
        return self.given.reading({name: kind for name, (kind, _) in self.inputs.items()})

    @cached_property
    def readers(self) -> dict[str, Preparation]:
        """The preparations of the inputs it reads."""
        return {name: _input(self.inputs[name][0]).fit(self.inputs[name][1]) for name in self.spec.reads}

    @cached_property
    def encoders(self) -> dict[str, PresentOnly]:
        """One for each input it reads."""
        return {name: _encoder(self.inputs[name][0], reader) for name, reader in self.readers.items()}

    def fit(self, labels: Sequence[object] | None = None) -> Codec:
        """The codec fitted to the labels."""
        return self.spec.fit(list(self.labels if labels is None else labels), self.readers)

    def build(self, seed: int = 0) -> PartHead:
        """A head, seeded, in evaluation mode."""
        sources = {
            name: Source(one.output_width, self.readers[name], one.encoder.output_maps, one.encoder.output_grid)
            for name, one in self.encoders.items()
        }
        codec = self.fit()
        head: PartHead = suite.seeded(lambda: self.spec.build(codec, WIDTH, sources), seed)
        return head

    def target(self) -> Cells:
        """All labels, present."""
        codec = self.fit()
        values = codec.batch([codec.read(label) for label in self.labels])
        return Cells(values, torch.ones(len(self.labels), dtype=torch.bool))

    def reading(self, absent: Sequence[int] = ()) -> Reading:
        """What a head reads: features of chance, and the inputs, of which the `absent` rows have none."""
        num_rows = len(self.labels)
        present = torch.ones(num_rows, dtype=torch.bool)
        present[list(absent)] = False
        tokens = {}
        for name, encoder in self.encoders.items():
            reader = self.readers[name]
            values = reader.batch([reader.read(cell) for cell in self.inputs[name][1]])
            with torch.no_grad():
                tokens[name] = encoder(Cells(values, present))
        return Reading(torch.randn(num_rows, WIDTH, generator=torch.Generator().manual_seed(0)), tokens)


def _input(kind: str) -> Any:
    return ROOMS["inputs"][kind](**SMALL.get(kind, {}))


def _encoder(kind: str, reader: Preparation) -> PresentOnly:
    encoder: PresentOnly = suite.seeded(lambda: PresentOnly(_input(kind).build(reader)))
    encoder.keeps_parts = True
    return encoder
