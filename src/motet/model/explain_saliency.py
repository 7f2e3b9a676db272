"""Which parts of one input speak for an answer: integrated gradients. B rows, K points of the path of each."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from motet.core.flow import Cells, Tokens
from motet.inputs.base import Preparation
from motet.model.explain import Worth, worth_outputs
from motet.model.network import Network
from motet.model.share import lender

START = 8
"""Steps of the path that are alike; then those in which a worth changes most are halved, `HALVED` at once."""
ROUNDS = 24
HALVED = 2


def saliency(
    network: Network,
    inputs: Mapping[str, Cells],
    name: str,
    *,
    preparation: Preparation,
    worths: Mapping[str, Worth],
    rounds: int = ROUNDS,
) -> dict[str, Float[Tensor, "B *felt"]] | None:
    """By task, how much each part of what the encoder feels of the input adds to the worth of B rows that all have it.

        a_i = (x_i - x0_i) * integral over t from 0 to 1 of  d v(x0 + t (x - x0)) / d x_i

    Integrated gradients (Sundararajan, Taly & Yan, ICML 2017): x is what `Encoder.felt` makes of the cells, x0 what it
    makes of `Preparation.blank`, v the worth, all other inputs as they are. The parts of a row sum to v(x) - v(x0) as
    far as the integral is exact.

    Deviations: baselines are the mean picture, silence, and the embedding that training hides tokens by, for the black
    picture and zero embeddings of the paper. The steps of the path are not alike: where encoders normalise, all of the
    change can fall into 1/10,000 of it, which even steps miss (a picture is as clear at any contrast but the least), so
    steps are halved where the worth changes most; the gradient is that at the middle of a step.

    None where the encoder or the preparation declines. The network is taken as it is, in evaluation mode.
    """
    encoder, cells = lender(network.encoders[name].encoder), inputs[name]
    blank = preparation.blank(cells.values)
    if blank is None or not bool(cells.present.all()):
        return None
    with torch.no_grad():
        felt, nothing = encoder.felt(cells.values), encoder.felt(blank)
        if felt is None or nothing is None:
            return None
        tokens = network.encode(inputs)
        answered = worth_outputs(network, tokens, worths)
        path = _Path(network, tokens, name, cells, answered, worths, nothing[0], felt[0] - nothing[0])
        places = _places(path, rounds)
    return {task: one.detach().cpu() for task, one in path.integrals(places).items()}


@dataclass(frozen=True, slots=True)
class _Path:
    """From B cells that say nothing, `start`, to those of one input, `start + apart`, all else as it is."""

    network: Network
    tokens: Mapping[str, Tokens]
    name: str
    cells: Cells
    answered: Mapping[str, Tensor]
    worths: Mapping[str, Worth]
    start: Float[Tensor, "B *felt"]
    apart: Float[Tensor, "B *felt"]

    def values(self, places: Float[Tensor, "B K"]) -> dict[str, Float[Tensor, "B K"]]:
        """The worths at these places from 0 to 1, by task."""
        return {task: one.view(places.shape) for task, one in self._worths(self._at(places), places).items()}

    def integrals(self, places: Float[Tensor, "B K"]) -> dict[str, Float[Tensor, "B *felt"]]:
        """The gradients times what lies apart, over the steps between these places."""
        middle, length = (places[:, 1:] + places[:, :-1]) / 2, places.diff(dim=1)
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):  # its GRU has no gradient in evaluation
            x = self._at(middle).requires_grad_()
            worths = self._worths(x, middle)
            slopes = {task: torch.autograd.grad(one.sum(), x, retain_graph=True)[0] for task, one in worths.items()}
        steps = length.reshape(-1, *[1] * (x.dim() - 1))
        means = {task: (one * steps).view(*middle.shape, *x.shape[1:]).sum(dim=1) for task, one in slopes.items()}
        return {task: one * self.apart for task, one in means.items()}

    def _at(self, places: Float[Tensor, "B K"]) -> Float[Tensor, "BK *felt"]:
        beside = places.view(*places.shape, *[1] * (self.apart.dim() - 1))
        return (self.start[:, None] + beside * self.apart[:, None]).flatten(0, 1)

    def _worths(self, x: Float[Tensor, "BK *felt"], places: Float[Tensor, "B K"]) -> dict[str, Float[Tensor, "BK"]]:
        rows = torch.arange(len(places), device=x.device).repeat_interleave(places.shape[1])
        cells = self.cells.rows(rows)
        halves = lender(self.network.encoders[self.name].encoder).felt(cells.values)
        assert halves is not None
        encoded = halves[1](x)
        own = Tokens(encoded.values, encoded.mask, cells.present, encoded.word, encoded.maps)
        others = {one: value.rows(rows) for one, value in self.tokens.items() if one != self.name}
        outputs = worth_outputs(self.network, others | {self.name: own}, self.worths)
        return {task: worth(outputs[task], self.answered[task][rows]) for task, worth in self.worths.items()}


def _places(path: _Path, rounds: int) -> Float[Tensor, "B K"]:
    """Ascending from 0 to 1, closer where a worth changes; how much is measured by its range along the path."""
    places = torch.linspace(0, 1, START + 1).to(path.apart).expand(len(path.apart), -1)
    values = torch.stack(list(path.values(places).values()))  # [tasks, B, K]
    for _ in range(rounds):
        reach = (values.amax(dim=2) - values.amin(dim=2)).clamp(min=1e-9)
        most = (values.diff(dim=2).abs() / reach[:, :, None]).amax(dim=0).topk(HALVED, dim=1).indices
        middle = (places.gather(1, most) + places.gather(1, most + 1)) / 2
        places, order = torch.cat([places, middle], dim=1).sort(dim=1)
        values = torch.cat([values, torch.stack(list(path.values(middle).values()))], dim=2)
        values = values.gather(2, order.expand(len(values), -1, -1))
    return places
