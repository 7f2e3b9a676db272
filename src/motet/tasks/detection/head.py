"""Where the objects are: a heat map per class and a box at each of its cells.

B rows, C classes, H x W cells of one map, K places for boxes.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from motet.core.flow import Cells
from motet.nn.conv import group_norm
from motet.tasks.detection.codec import ABSENT
from motet.tasks.part import PartHead, Reading

SPREAD = 0.54 / 6
"""Of a box's heat, as a fraction of its sides: the Gaussian falls to little at .54 of the half side (TTFNet)."""
RARE = 0.01
"""How likely a cell is to be the middle of something before anything is known."""


class DetectionHead(PartHead):
    """Maps from coarse to fine -> heat and boxes -> the surest boxes (Objects as Points, Zhou et al. 2019).

    Top-down (Lin et al., CVPR 2017) the maps become one, `m_i = relu(norm(conv(up(m_{i+1}) + W_i map_i)))`, to whose
    coarsest the row's features are added. Each cell says how hot it is for each class, and how far the four sides of a
    box are from its middle, as multiples of the picture by softplus. Boxes are the cells that no neighbour outdoes.

    In training (TTFNet: Liu et al., AAAI 2020) each object heats its cells by a Gaussian as wide as its box, 1 at the
    middle; the heat's loss is the penalty-reduced focal loss, and boxes learn by 1 - GIoU (Rezatofighi et al., CVPR
    2019) in all cells an object has heated, in proportion to the heat. Deviations: a cell belongs to the object that
    heats it most, and weights are the heat alone.
    """

    def __init__(
        self,
        *,
        input: str,
        maps: Sequence[tuple[int, int, int]],
        input_width: int,
        num_classes: int,
        width: int,
        stride: int,
        most: int,
    ) -> None:
        super().__init__()
        self.input, self.most = input, most
        self.level = min(stride.bit_length() - 2, len(maps) - 1)
        self.lateral = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels, _, _ in maps[self.level :])
        self.merge = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in self.lateral)
        self.norm = nn.ModuleList(group_norm(width) for _ in self.lateral)
        self.features = nn.Linear(input_width, width)
        self.heat = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, num_classes, 1))
        self.sides = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 4, 1))
        nn.init.constant_(self._heat_bias, math.log(RARE / (1 - RARE)))

    def forward(self, reading: Reading, target: Cells) -> Tensor:
        """The losses of heat and boxes of each row, `[B, 2]`."""
        heat, boxes = self._maps(reading)
        truth = target.values["target"]
        wanted, owner = heat_of(truth, num_classes=heat.shape[1], size=(heat.shape[2], heat.shape[3]))
        count = (truth[:, :, 4] > 0).sum(dim=1).clamp(min=1)
        warm = wanted.amax(dim=1).flatten(1)
        own = truth[:, :, :4].gather(1, owner.flatten(1)[:, :, None].expand(-1, -1, 4))
        off = (warm * (1 - generalized_overlap(boxes, own))).sum(dim=1) / warm.sum(dim=1).clamp(min=1e-6)
        return torch.stack([focal(heat.float(), wanted).flatten(1).sum(dim=1) / count, off], dim=1)

    def answer(self, reading: Reading) -> Float[Tensor, "B K 6"]:
        """The surest boxes, the surest first."""
        heat, boxes = self._maps(reading)
        peak = F.max_pool2d(heat, 3, stride=1, padding=1) == heat
        score = torch.where(peak, heat.sigmoid(), 0.0).flatten(1)
        cells = heat.shape[2] * heat.shape[3]
        best, place = score.topk(min(self.most, score.shape[1]), dim=1)
        chosen = boxes.gather(1, (place % cells)[:, :, None].expand(-1, -1, 4))
        number = torch.where(best > 0, place // cells + 1.0, 0.0)
        said = torch.cat([chosen.clamp(0, 1), best[:, :, None], number[:, :, None]], dim=2)
        nothing = torch.zeros_like(said)
        nothing[:, 0, 5] = ABSENT
        return torch.where(reading.tokens[self.input].present[:, None, None], said, nothing)

    def start_from(self, prior: Tensor) -> None:
        """Take in how often each class is found beside the others: on average over them a cell is hot at 1 in 100."""
        with torch.no_grad():
            self._heat_bias.copy_(torch.logit((RARE * prior / prior.mean().clamp(min=1e-6)).clamp(1e-4, 0.1)))

    @property
    def _heat_bias(self) -> Tensor:
        bias = self.heat[-1].bias
        assert isinstance(bias, Tensor)
        return bias

    def _maps(self, reading: Reading) -> tuple[Float[Tensor, "B C H W"], Float[Tensor, "B cells 4"]]:
        maps = reading.tokens[self.input].maps[self.level :]
        x = self.features(reading.features)[:, :, None, None]
        for lateral, merge, norm, one in zip(
            reversed(self.lateral), reversed(self.merge), reversed(self.norm), reversed(maps), strict=True
        ):
            size = (one.shape[2], one.shape[3])
            above = F.interpolate(x, size=size, mode="bilinear") if x.shape[2] > 1 or x.shape[3] > 1 else x
            x = F.relu(norm(merge(above + lateral(one))))
        return self.heat(x), _boxes(F.softplus(self.sides(x)))


def heat_of(
    truth: Float[Tensor, "B K 5"], *, num_classes: int, size: tuple[int, int]
) -> tuple[Float[Tensor, "B C H W"], Tensor]:
    """What the heat map of each class should be, and for each cell `[B, H, W]` the object that heats it most.

        Y(x, y) = max_k exp(-(x - x_k)^2 / (2 (s w_k)^2) - (y - y_k)^2 / (2 (s h_k)^2))       s = .54 / 6

    with x_k, y_k the middle of the cell that holds the middle of box k, so that this cell is exactly 1.
    """
    height, width = size
    x0, y0, x1, y1, number = truth.unbind(dim=2)
    there = number > 0
    middle_x = _cell_middle((x0 + x1) / 2, width)[:, :, None]
    middle_y = _cell_middle((y0 + y1) / 2, height)[:, :, None]
    spread_x = (SPREAD * (x1 - x0)).clamp(min=1e-6)[:, :, None]
    spread_y = (SPREAD * (y1 - y0)).clamp(min=1e-6)[:, :, None]
    across = (torch.arange(width, device=truth.device) + 0.5) / width
    down = (torch.arange(height, device=truth.device) + 0.5) / height
    heat_x = torch.exp(-((across - middle_x) ** 2) / (2 * spread_x**2))
    heat_y = torch.exp(-((down - middle_y) ** 2) / (2 * spread_y**2))
    heat = torch.where(there[:, :, None, None], heat_y[:, :, :, None] * heat_x[:, :, None, :], 0.0)
    of_class = number.clamp(min=0).long()[:, :, None, None].expand_as(heat)
    by_class = heat.new_zeros(len(heat), 1 + num_classes, height, width).scatter_reduce(1, of_class, heat, "amax")
    return by_class[:, 1:], heat.argmax(dim=1)


def focal(logit: Float[Tensor, "B *rest"], wanted: Float[Tensor, "B *rest"]) -> Float[Tensor, "B *rest"]:
    """Penalty-reduced focal loss: `-(1 - p)^2 log p` where the heat is 1, `-(1 - Y)^4 p^2 log(1 - p)` elsewhere."""
    p = logit.sigmoid()
    hot = -((1 - p) ** 2) * F.logsigmoid(logit)
    cold = -((1 - wanted) ** 4) * p**2 * F.logsigmoid(-logit)
    return torch.where(wanted > 1 - 1e-6, hot, cold)


def generalized_overlap(boxes: Float[Tensor, "B n 4"], truth: Float[Tensor, "B n 4"]) -> Float[Tensor, "B n"]:
    """GIoU: intersection over union, minus the part of the smallest box around both that neither fills."""
    low, high = torch.maximum(boxes[..., :2], truth[..., :2]), torch.minimum(boxes[..., 2:], truth[..., 2:])
    outer_low, outer_high = torch.minimum(boxes[..., :2], truth[..., :2]), torch.maximum(boxes[..., 2:], truth[..., 2:])
    both = (high - low).clamp(min=0).prod(dim=-1)
    either = (boxes[..., 2:] - boxes[..., :2]).prod(dim=-1) + (truth[..., 2:] - truth[..., :2]).prod(dim=-1) - both
    around = (outer_high - outer_low).prod(dim=-1).clamp(min=1e-9)
    return both / either.clamp(min=1e-9) - (around - either) / around


def _boxes(sides: Float[Tensor, "B 4 H W"]) -> Float[Tensor, "B cells 4"]:
    """From distances left, up, right, down of each cell's middle to corners."""
    height, width = sides.shape[2:]
    x = ((torch.arange(width, device=sides.device) + 0.5) / width)[None, None, :]
    y = ((torch.arange(height, device=sides.device) + 0.5) / height)[None, :, None]
    left, up, right, down = sides.float().unbind(dim=1)
    return torch.stack([x - left, y - up, x + right, y + down], dim=3).flatten(1, 2)


def _cell_middle(value: Tensor, count: int) -> Tensor:
    return ((value * count).floor().clamp(0, count - 1) + 0.5) / count
