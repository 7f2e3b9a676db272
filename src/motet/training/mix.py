"""Rows mixed in pairs while training: what fusion makes of them, or their pictures, and their labels in one share.

B rows, D width.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from pydantic import BeforeValidator, Field
from torch import Tensor

from motet.core import seed as seeds
from motet.core.component import ComponentSpec, shorthand
from motet.core.flow import Batch, Cells

PIXELS = "pixels"


class Mixup(ComponentSpec):
    """What fusion makes of every row is mixed with that of another row, and so are the losses of their labels."""

    kind: Literal["mixup"] = "mixup"
    paper: ClassVar[str] = "Zhang et al., mixup, ICLR 2018; Verma et al., Manifold Mixup, ICML 2019"
    alpha: float = Field(default=0.2, gt=0, description="Of the Beta distribution of shares; more: more even mixtures.")


class CutMix(ComponentSpec):
    """Every picture of a row gets a rectangle of the same picture of another row; for rows of pictures alone."""

    kind: Literal["cutmix"] = "cutmix"
    paper: ClassVar[str] = "Yun et al., CutMix, ICCV 2019"
    alpha: float = Field(default=1.0, gt=0, description="Of the Beta distribution of shares; more: more even mixtures.")


AnyMix = Annotated[Annotated[Mixup | CutMix, Field(discriminator="kind")], BeforeValidator(shorthand)]


@dataclass(frozen=True, slots=True)
class Mixture:
    """For each row of a batch its partner, its own share, and which part of its pictures is cut out.

        h~_i = s_i h_i + (1 - s_i) h_p(i)          L~_i = s_i L(h~_i, y_i) + (1 - s_i) L(h~_i, y_p(i))

    h is what fusion makes of a row, whatever its inputs and however long (Verma et al.). With CutMix pictures are
    mixed instead, and s is the part of the pixels that stays.

    The rows 2i and 2i + 1 of a batch are partners where both have the same inputs; any other row stays as it is, with
    the share 1. Partners have one share, max(l, 1 - l), l ~ Beta(alpha, alpha): since both rows of a pair are there,
    that is the mixture of the papers. It is drawn from the pair's first row, so it does not depend on other pairs. A
    rectangle lies within the picture, where that of the paper may be clipped.
    """

    partner: Int64[Tensor, "B"]
    share: Float[Tensor, "B"]
    cut: Bool[Tensor, "B H W"] | None = None

    @classmethod
    def of(cls, batch: Batch, spec: AnyMix, *, seed: int, step: int) -> "Mixture":
        """The mixture of these rows, whose inputs are those they go into the network with, in this step."""
        pairs = len(batch.rows) // 2
        partner = torch.arange(len(batch.rows), device=batch.rows.device)
        partner[: 2 * pairs] = partner[: 2 * pairs].view(-1, 2).flip(1).reshape(-1)
        present = torch.stack([cells.present for _, cells in sorted(batch.inputs.items())], dim=1)
        alike = (present == present[partner]).all(dim=1)
        firsts = batch.rows[: 2 * pairs : 2].tolist()
        drawn = [seeds.generator(seed, "mix", step, row) for row in firsts]
        if isinstance(spec, Mixup):
            shares = _for_both([max(one := chance.beta(spec.alpha, spec.alpha), 1 - one) for chance in drawn])
            share = shares.to(torch.float32).to(batch.rows.device)
            return cls(partner, torch.where(alike, _padded(share, len(partner), 1.0), 1.0))
        height, width = next(iter(batch.inputs.values())).values[PIXELS].shape[2:]
        boxes = [_rectangle(chance, spec.alpha, height, width) for chance in drawn]
        cut = _padded(_for_both(boxes, (height, width)).to(batch.rows.device), len(partner), False)
        cut = cut.bool() & alike[:, None, None]
        return cls(partner, 1 - cut.float().mean(dim=(1, 2)), cut)

    def labels(self, batch: Batch) -> Batch:
        """The batch whose targets are the rows' own and then their partners', and whose weights are their shares."""
        weights = torch.ones_like(self.share) if batch.weights is None else batch.weights
        weights = torch.cat([self.share * weights, (1 - self.share) * weights[self.partner]])
        targets = {name: _twice(one, one.rows(self.partner)) for name, one in batch.targets.items()}
        return replace(batch, targets=targets, weights=weights)

    def inputs(self, inputs: Mapping[str, Cells]) -> Mapping[str, Cells]:
        """The cells that go into the network: with CutMix, pictures with a rectangle of their partner's."""
        if self.cut is None:
            return inputs
        taken = self.cut[:, None]
        found = {}
        for name, cells in inputs.items():
            pixels = cells.values[PIXELS]
            mixed = torch.where(taken, pixels[self.partner], pixels)
            found[name] = Cells({**cells.values, PIXELS: mixed}, cells.present)
        return found

    def vectors(self, fused: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """What fusion makes of rows, mixed; of cut pictures it stays."""
        if self.cut is not None:
            return fused
        share = self.share.to(fused.dtype)[:, None]
        return torch.where(share < 1, share * fused + (1 - share) * fused[self.partner], fused)


def _rectangle(chance: np.random.Generator, alpha: float, height: int, width: int) -> np.ndarray:
    """Where a picture is cut: at most one half of it, as wide and high as the share asks for, to the pixel."""
    area = min(one := chance.beta(alpha, alpha), 1 - one)
    sides = [round(size * area**0.5) for size in (height, width)]
    top, left = (int(chance.integers(0, size - side + 1)) for size, side in zip((height, width), sides, strict=True))
    cut = np.zeros((height, width), dtype=bool)
    cut[top : top + sides[0], left : left + sides[1]] = True
    return cut


def _for_both(drawn: list[np.ndarray] | list[float], shape: tuple[int, ...] = ()) -> Tensor:
    """What was drawn for each pair, once for each of its rows."""
    return torch.from_numpy(np.repeat(np.array(drawn).reshape(-1, *shape), 2, axis=0))


def _padded(values: Tensor, length: int, filler: float) -> Tensor:
    """With a filler for a last row that is in no pair."""
    return torch.cat([values, values.new_full((length - len(values), *values.shape[1:]), filler)])


def _twice(one: Cells, other: Cells) -> Cells:
    values = {name: torch.cat([value, other.values[name]]) for name, value in one.values.items()}
    return Cells(values, torch.cat([one.present, other.present]))
