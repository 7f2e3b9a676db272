"""Encoders of series: by hand, what padding holds, what order and times mean, and without order nothing."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from motet.core.flow import Cells
from motet.inputs import Encoder, Series, SeriesCNNEncoder, SeriesPreparation, SeriesTransformerEncoder
from motet.inputs.series.place import TimedPlaces
from motet.model.presence import PresentOnly
from motet.nn import masked_mean

SMALL: dict[str, Any] = {
    "cnn": {"kind": "cnn", "channels": 8, "blocks": 1},
    "transformer": {"kind": "transformer", "layers": 1},
}
CHANCE = np.random.default_rng(0)
SIZES = (7, 2, 5, 1)
TIMED = [np.concatenate([np.cumsum(CHANCE.uniform(0.5, 2, (n, 1)), 0), CHANCE.normal(size=(n, 2))], 1) for n in SIZES]
PLAIN = [CHANCE.normal(size=(n, 2)) for n in SIZES]
LABELS = [["a", "b", "c", "a"], ["b", "c"], ["a"], []]
KINDS: dict[str, tuple[dict[str, Any], list[Any]]] = {
    "plain cnn": ({"encoder": SMALL["cnn"]}, PLAIN),
    "plain transformer": ({"encoder": SMALL["transformer"]}, PLAIN),
    "timed cnn": ({"encoder": SMALL["cnn"], "times": True}, TIMED),
    "timed transformer": ({"encoder": SMALL["transformer"], "times": True}, TIMED),
    "labels cnn": ({"encoder": SMALL["cnn"], "values": "categories"}, LABELS),
    "points": ({"encoder": SMALL["transformer"], "order": False}, PLAIN),
}


def built(kind: str) -> tuple[SeriesPreparation, Encoder, dict[str, Tensor]]:
    fields, cells = KINDS[kind]
    spec = Series.model_validate({"width": 8, **fields})
    preparation = spec.fit(cells)
    torch.manual_seed(0)
    encoder = spec.build(preparation).eval().double()
    values = preparation.batch([preparation.read(cell) for cell in cells])
    return preparation, encoder, doubled(values)


def doubled(values: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.double() if value.is_floating_point() else value for name, value in values.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_in_padding_changes_nothing(kind: str) -> None:
    _, encoder, values = built(kind)
    clean, poisoned = encoder(values), dict(values)
    for name in set(values) - {"mask"}:
        value, filler = values[name], math.nan if values[name].is_floating_point() else 10**9
        padding = ~values["mask"].view(*values["mask"].shape, *[1] * (value.dim() - 2))
        assert padding.any()
        poisoned[name] = value.masked_fill(padding, filler)
    found = encoder(poisoned)
    assert found.values[found.mask].equal(clean.values[clean.mask])
    found.values[found.mask].sum().backward()
    assert all(one.grad is None or one.grad.isfinite().all() for one in encoder.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_absent_cells_reach_nothing_and_the_dense_path_says_the_same(kind: str) -> None:
    _, encoder, values = built(kind)
    present = torch.tensor([True, False, True, False])
    module = PresentOnly(encoder).double()
    fillers = {
        name: math.nan if value.is_floating_point() else value.dtype != torch.bool for name, value in values.items()
    }
    poisoned = {
        name: torch.where(
            present.view(-1, *[1] * (value.dim() - 1)), value, torch.tensor(fillers[name], dtype=value.dtype)
        )
        for name, value in values.items()
    }
    one, other = module(Cells(values, present)), module(Cells(poisoned, present))
    assert one.values.equal(other.values)
    dense = module.dense(Cells(poisoned, present))
    assert dense.mask.equal(one.mask)
    torch.testing.assert_close(dense.values[one.mask], one.values[one.mask])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "points"])
def test_the_order_of_steps_matters(kind: str) -> None:
    _, encoder, values = built(kind)
    name = "index" if "index" in values else "steps"
    one = {key: value[:1] for key, value in values.items()}
    other = one | {name: one[name].flip(1)}
    first, second = (masked_mean(tokens.values, tokens.mask) for tokens in (encoder(one), encoder(other)))
    assert (first - second).abs().max() > 1e-3


def test_without_order_points_are_a_set() -> None:
    preparation, encoder, values = built("points")
    order = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    one = {key: value[:1] for key, value in values.items()}
    tokens, other = encoder(one), encoder({key: value[:, order] for key, value in one.items()})
    torch.testing.assert_close(other.values, tokens.values[:, order])
    shuffled = PLAIN[0][order.numpy()]
    assert np.array_equal(preparation.read(shuffled), preparation.read(PLAIN[0]))


@pytest.mark.parametrize("kind", ["timed cnn", "timed transformer"])
def test_times_matter_but_not_when_a_series_begins(kind: str) -> None:
    preparation, encoder, _ = built(kind)
    cell, later, slower = TIMED[0], TIMED[0] + [100, 0, 0], TIMED[0] * [1.5, 1, 1]
    first, second, third = (
        encoder(doubled(preparation.batch([preparation.read(one)]))).values for one in (cell, later, slower)
    )
    torch.testing.assert_close(first, second, rtol=0, atol=1e-5)
    assert (first - third).abs().max() > 1e-3


def test_times_have_waves_of_learned_lengths() -> None:
    """p(t)_0 = w_0 t + b_0, p(t)_i = sin(w_i t + b_i), written out."""
    places = TimedPlaces(6, span=10.0).double()
    time = torch.tensor([[0.0, 1.0, 4.5]], dtype=torch.float64)
    w, b, scale = places.frequency, places.phase, places.scale
    for step in range(3):
        for i in range(6):
            angle = w[i] * time[0, step] + b[i]
            expected = scale * (angle if i == 0 else torch.sin(angle))
            torch.testing.assert_close(places(time)[0, step, i], expected)
    lengths = 2 * math.pi / w[1:]
    torch.testing.assert_close(lengths, torch.tensor(np.geomspace(2, 20, 5)), rtol=1e-6, atol=0)


def test_a_transformer_adds_the_place_to_what_a_step_holds() -> None:
    torch.manual_seed(0)
    encoder = SeriesTransformerEncoder(
        features=2, width=8, layers=1, heads=2, place=TimedPlaces(8, span=4.0), timed=True
    ).eval()
    steps, time = torch.randn(1, 3, 2), torch.tensor([[0.0, 1.0, 2.5]])
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert encoder.place is not None
    gaps = torch.log(1 + torch.tensor([0.0, 1.0, 1.5]))
    given = torch.cat([steps, gaps[None, :, None]], dim=2).transpose(1, 2)
    around, itself = encoder.stem.around, encoder.stem.itself
    x = normed(F.conv1d(given, around.conv.weight, padding=2)).transpose(1, 2)  # type: ignore[union-attr, arg-type]
    x = x + given.transpose(1, 2) @ itself.weight.T + itself.bias + encoder.place(time)  # type: ignore[union-attr, operator]
    expected = F.layer_norm(encoder.blocks[0](x, mask), [8])
    torch.testing.assert_close(encoder({"steps": steps, "mask": mask, "time": time}).values, expected)


def test_a_cnn_is_convolutions_of_the_steps_and_of_the_gaps_between_them() -> None:
    """One row without padding, by torch's own convolutions."""
    torch.manual_seed(0)
    encoder = SeriesCNNEncoder(features=2, channels=4, blocks=1, width=3, halvings=1, timed=True).eval()
    steps, time = torch.randn(1, 6, 2), torch.tensor([[0.0, 1.0, 1.0, 3.0, 7.0, 7.5]])
    gaps = torch.tensor([0.0, 1.0, 0.0, 2.0, 4.0, 0.5])
    x = torch.cat([steps, torch.log(1 + gaps)[None, :, None]], dim=2).transpose(1, 2)
    around, itself = encoder.stem.around, encoder.stem.itself
    own = x[:, :, ::2].transpose(1, 2) @ itself.weight.T + itself.bias
    x = F.relu(normed(F.conv1d(x, around.conv.weight, stride=2, padding=2)) + own.transpose(1, 2))
    (block,) = encoder.blocks
    y = F.relu(normed(F.conv1d(x, block.first.conv.weight, padding=1)))  # type: ignore[union-attr, arg-type]
    y = normed(F.conv1d(y, block.second.conv.weight, padding=1))  # type: ignore[union-attr, arg-type]
    y = F.relu(y.transpose(1, 2) + x.transpose(1, 2) @ block.shortcut.weight.T)  # type: ignore[union-attr, operator]
    expected = y @ encoder.project.weight.T + encoder.project.bias
    found = encoder({"steps": steps, "mask": torch.ones(1, 6, dtype=torch.bool), "time": time})
    torch.testing.assert_close(found.values, expected)


def normed(x: Tensor) -> Tensor:
    return F.layer_norm(x.transpose(1, 2), [x.shape[1]]).transpose(1, 2)


@pytest.mark.parametrize("kind", ["cnn", "transformer"])
def test_how_large_numbers_are_is_not_lost(kind: str) -> None:
    """Layer norm behind a convolution without bias would give the same for twice the numbers."""
    spec = Series.model_validate({"encoder": SMALL[kind], "width": 8})
    preparation = spec.fit([[-1, 1]])
    torch.manual_seed(0)
    encoder = spec.build(preparation).eval()
    one, twice = (encoder(preparation.batch([preparation.read(cell)])).values for cell in ([1, 2], [2, 4]))
    assert (one - twice).abs().max() > 1e-2


@pytest.mark.parametrize(("steps", "tokens"), [(20, 20), (32, 16), (100, 25), (400, 50)])
def test_long_series_have_fewer_tokens(steps: int, tokens: int) -> None:
    spec = Series.model_validate({"encoder": {"kind": "cnn", "blocks": 2, "channels": 4}})
    preparation = spec.fit([np.zeros(steps)])
    found = spec.build(preparation)(preparation.batch([preparation.read(np.ones(steps))]))
    assert found.mask.shape == (1, tokens)


def test_a_missing_number_is_told_from_the_mean() -> None:
    spec = Series.model_validate({"encoder": SMALL["transformer"], "width": 8})
    preparation = spec.fit([[1, 3, None]])
    torch.manual_seed(0)
    encoder = spec.build(preparation).eval()
    mean, missing = (encoder(preparation.batch([preparation.read(cell)])).values for cell in ([1, 2], [1, None]))
    assert (mean - missing).abs().max() > 1e-3


def test_auto_takes_a_cnn_and_without_order_a_transformer() -> None:
    assert Series().resolved(Series().fit([[1, 2]])).encoder.kind == "cnn"  # type: ignore[union-attr]
    points = Series(order=False)
    assert points.resolved(points.fit([[[1, 2]]])).encoder.kind == "transformer"  # type: ignore[union-attr]
