"""Maps and sequences laid over each other: the equation by hand, alignment by mask, and what it is for."""

from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from mechanisms import MakeRows, Rows, accuracy
from pydantic import ValidationError
from torch import Tensor

from motet.core.flow import Tokens
from motet.fusion import Concat, Fusion, Hybrid
from motet.fusion.base import Grids
from motet.fusion.mapconcat import MapConcatFusion, interpolation
from motet.nn import row_keys, salt_dropouts
from motet.testing import check_fusion

WIDTHS = {"age": 2, "depth": 3, "photo": 5}
GRIDS = {"depth": (2, 3), "photo": (4, 3)}


def tokens(lengths: Mapping[str, list[int]], present: Mapping[str, list[bool]] | None = None) -> dict[str, Tokens]:
    """Tokens of these lengths; an absent row has its stand-in at place 0 alone."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name, count in lengths.items():
        there = torch.tensor((present or {}).get(name, [True] * len(count)))
        real = torch.where(there, torch.tensor(count), 1)
        mask = torch.arange(max(count)) < real[:, None]
        values = torch.randn(len(count), max(count), WIDTHS[name], generator=generator)
        found[name] = Tokens(values, mask, there)
    return found


def maps(present: Mapping[str, list[bool]] | None = None, *, num_rows: int = 3) -> dict[str, Tokens]:
    lengths = {"age": [2] * num_rows, "depth": [6] * num_rows, "photo": [12] * num_rows}
    return tokens(lengths, present)


def built(*, grids: Grids | None, layers: int = 1, places: int = 16, dropout: float = 0.0, seed: int = 0) -> Fusion:
    torch.manual_seed(seed)
    spec = Concat(width=8, level="map", layers=layers, places=places, dropout=dropout)
    fusion = spec.build(WIDTHS, grids=grids)
    salt_dropouts(fusion, 0)
    return fusion


def channels_joined(fusion: MapConcatFusion, laid: Mapping[str, Tensor]) -> Tensor:
    """One 1x1 convolution of the channels of all inputs, side by side: `laid` are `[D, *sides]` of one row."""
    linears = [fusion.maps[name] for name in laid]
    weight = torch.cat([linear.weight for linear in linears], dim=1)
    joined = torch.cat(list(laid.values())).flatten(1)
    return weight @ joined + torch.stack([linear.bias for linear in linears]).sum(dim=0)[:, None]


def convolved(fusion: MapConcatFusion, joined: Tensor, sides: tuple[int, ...]) -> Tensor:
    """The layers, the two means and the map of both, for one row."""
    convolve = F.conv2d if len(sides) == 2 else F.conv1d
    y = joined.reshape(1, -1, *sides)
    for index, layer in enumerate(fusion.layers):
        turned = F.gelu(F.group_norm(convolve(y, layer.conv.weight, padding=1), 2, layer.norm.weight, layer.norm.bias))
        y = turned if index == 0 else y + turned
    flat = y.flatten(2)[0]
    plain, placed = flat.mean(dim=1), (flat * fusion.gain).mean(dim=1)
    first, second = fusion.project.weight.chunk(2, dim=1)
    return first @ plain + second @ placed + fusion.project.bias


@pytest.mark.parametrize("layers", [1, 3])
def test_maps_by_hand(layers: int) -> None:
    fusion, given = built(grids=GRIDS, layers=layers), maps()
    found = fusion(given)["joint"].pooled
    for row in range(3):
        laid = {"age": given["age"].values[row].mean(dim=0)[:, None, None].expand(-1, 4, 3)}
        for name, (height, width) in GRIDS.items():
            cells = given[name].values[row].T.reshape(1, -1, height, width)
            laid[name] = F.interpolate(cells, size=(4, 3), mode="bilinear", align_corners=False)[0]
        torch.testing.assert_close(found[row], convolved(fusion, channels_joined(fusion, laid), (4, 3)))


def test_sequences_by_hand() -> None:
    fusion = built(grids=None, layers=2, places=6)
    given = tokens({"age": [1, 1, 1], "depth": [2, 9, 6], "photo": [5, 1, 14]})
    found = fusion(given)["joint"].pooled
    for row in range(3):
        laid = {name: resampled(one.values[row][one.mask[row]], 6) for name, one in given.items()}
        torch.testing.assert_close(found[row], convolved(fusion, channels_joined(fusion, laid), (6,)))


def resampled(sequence: Tensor, places: int) -> Tensor:
    """`[n, D]` -> `[D, P]` by torch's own antialiased interpolation."""
    picture = sequence.T[None, :, None]
    return F.interpolate(picture, size=(1, places), mode="bilinear", antialias=True)[0, :, 0]


def test_resampling_two_tokens_to_four_places() -> None:
    # places stand at 1/8, 3/8, 5/8 and 7/8 of the recording, the tokens at 1/4 and 3/4
    expected = torch.tensor([[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]])
    torch.testing.assert_close(interpolation(torch.ones(1, 2, dtype=torch.bool), 4)[0], expected)


def test_resampling_four_tokens_to_two_places_hears_every_token() -> None:
    # stretched by 2: place 0 stands at token 0.5 and weighs tokens by 1 - distance / 2: 3/4, 3/4, 1/4, of 7/4
    expected = torch.tensor([[3.0, 3.0, 1.0, 0.0], [0.0, 1.0, 3.0, 3.0]]) / 7
    torch.testing.assert_close(interpolation(torch.ones(1, 4, dtype=torch.bool), 2)[0], expected)


def test_a_mask_with_holes_counts_only_what_is_real() -> None:
    mask = torch.tensor([[False, True, False, True, True, False]])
    weights = interpolation(mask, 5)[0]
    torch.testing.assert_close(weights[:, mask[0]], interpolation(torch.ones(1, 3, dtype=torch.bool), 5)[0])
    assert bool((weights[:, ~mask[0]] == 0).all())


class OnMaps(Concat):
    """The suite knows no maps: here inputs have them, in cells that some rows fill and none overfills."""

    def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> Fusion:
        given = {"photo": (3, 2), "review": (3, 2), "input 4": (1, 2)}
        return super().build(input_widths, grids={name: given[name] for name in given if name in input_widths})


@pytest.mark.parametrize("spec", [OnMaps(width=8, level="map"), OnMaps(width=7, level="map", layers=3, dropout=0.3)])
def test_the_suite_of_the_room_on_maps(spec: Concat) -> None:
    check_fusion(spec)


@pytest.mark.parametrize("grids", [GRIDS, None])
@pytest.mark.parametrize("filler", [float("nan"), 1e30])
def test_the_content_of_an_absent_input_changes_no_bit(grids: Grids | None, filler: float) -> None:
    present = {"age": [True, False, False], "depth": [True, True, False], "photo": [False, True, False]}
    fusion, given = built(grids=grids, layers=2), maps(present)
    spoilt = {
        name: Tokens(torch.where(one.present[:, None, None], one.values, filler), one.mask, one.present)
        for name, one in given.items()
    }
    assert all(torch.equal(*pair) for pair in zip(learned(fusion, given), learned(fusion, spoilt), strict=True))


def learned(fusion: Fusion, given: Mapping[str, Tokens]) -> list[Tensor]:
    """The fused vectors and the gradient of every parameter."""
    fused = fusion(given)["joint"].pooled
    return [fused, *torch.autograd.grad(fused.square().sum(), list(fusion.parameters()))]


def test_a_batch_without_an_input_has_one_token_of_it() -> None:
    """Where no row has a picture its map is not there at all: the row comes out as among others."""
    fusion = built(grids=GRIDS)
    given = maps({"photo": [False, True, True]})
    alone = {name: Tokens(one.values[:1], one.mask[:1], one.present[:1]) for name, one in given.items()}
    alone["photo"] = Tokens(torch.full((1, 1, 5), 3.0), torch.ones(1, 1, dtype=torch.bool), torch.tensor([False]))
    torch.testing.assert_close(fusion(alone)["joint"].pooled, fusion(given)["joint"].pooled[:1])


def test_maps_that_swap_their_places_are_told_apart_and_vectors_are_not() -> None:
    given = maps()
    turned = {**given, "photo": Tokens(given["photo"].values.flip(1), given["photo"].mask, given["photo"].present)}
    for level, same in (("vector", True), ("map", False)):
        torch.manual_seed(0)
        fusion = Concat(width=8, level=level).build(WIDTHS, grids=GRIDS)
        one, other = fusion(given)["joint"].pooled, fusion(turned)["joint"].pooled
        assert torch.allclose(one, other, atol=1e-6) == same


def test_dropout_is_drawn_per_row() -> None:
    fusion, given = built(grids=None, layers=2, dropout=0.5), tokens({"age": [1, 4], "depth": [9, 2], "photo": [3, 3]})
    with row_keys(torch.arange(2)):
        together = fusion(given)["joint"].pooled
    one = {name: Tokens(t.values[1:], t.mask[1:], t.present[1:]) for name, t in given.items()}
    with row_keys(torch.tensor([1])):
        torch.testing.assert_close(fusion(one)["joint"].pooled, together[1:])
    assert bool((together == 0).any())


def test_the_joint_stream_of_a_hybrid_is_given_the_maps() -> None:
    fusion = Hybrid(fusion=Concat(width=8, level="map")).build(WIDTHS, grids=GRIDS)
    assert fusion.joint.sides == (4, 3)
    assert fusion.exact


def test_places_at_level_vector_are_refused() -> None:
    with pytest.raises(ValidationError, match="says nothing at level vector"):
        Concat(places=8)


def test_it_is_exported_with_any_number_of_rows_and_tokens() -> None:
    fusion = built(grids=None, layers=2).eval()

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fusion = fusion

        def forward(self, values: dict[str, Tensor], masks: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
            return self.fusion({name: Tokens(values[name], masks[name], present[name]) for name in values})[
                "joint"
            ].pooled

    def parts(given: Mapping[str, Tokens]) -> tuple[dict[str, Tensor], ...]:
        return tuple(
            {name: getattr(one, part) for name, one in given.items()} for part in ("values", "mask", "present")
        )

    one = tokens({"age": [2, 3, 3], "depth": [4, 9, 2], "photo": [5, 7, 6]}, {"age": [True, True, False]})
    rows = torch.export.Dim("rows", min=2)
    lengths = {name: torch.export.Dim(name, min=2) for name in one}
    shapes = {name: {0: rows, 1: lengths[name]} for name in one}
    program = torch.export.export(
        Plain(), parts(one), dynamic_shapes=(shapes, shapes, {name: {0: rows} for name in one})
    )
    other = tokens({"age": [5, 1], "depth": [2, 20], "photo": [33, 4]})
    torch.testing.assert_close(program.module()(*parts(other)), fusion(other)["joint"].pooled)


# --- what it is for, beside the same operator without places


def full(values: Tensor) -> Tokens:
    mask = torch.ones(values.shape[:2], dtype=torch.bool)
    return Tokens(values, mask, mask[:, 0])


def marked(place: Tensor, num_places: int, width: int, generator: torch.Generator) -> Tokens:
    """Noise with a mark at one place of each row."""
    values = 0.3 * torch.randn(len(place), num_places, width, generator=generator)
    values[torch.arange(len(place)), place] += 1
    return full(values)


def meeting_on_maps(num_rows: int, generator: torch.Generator) -> Rows:
    """A mark in each of two maps: at the same place, or not."""
    labels = torch.randint(2, (num_rows,), generator=generator)
    place = torch.randint(16, (num_rows,), generator=generator)
    elsewhere = (place + torch.randint(1, 16, (num_rows,), generator=generator)) % 16
    other = torch.where(labels == 1, place, elsewhere)
    return {"rgb": marked(place, 16, 4, generator), "depth": marked(other, 16, 3, generator)}, labels


def meeting_in_time(num_rows: int, generator: torch.Generator) -> Rows:
    """An event in each of two sequences of lengths of their own: at the same fraction of the recording, or not."""
    labels = torch.randint(2, (num_rows,), generator=generator)
    time = torch.rand(num_rows, generator=generator)
    elsewhere = (time + 0.25 + 0.5 * torch.rand(num_rows, generator=generator)) % 1
    sequences = {}
    for name, moment, longest, width in (
        ("sound", time, 40, 4),
        ("motion", torch.where(labels == 1, time, elsewhere), 24, 3),
    ):
        lengths = torch.randint(longest // 2, longest + 1, (num_rows,), generator=generator)
        mask = torch.arange(longest) < lengths[:, None]
        distance = (torch.arange(longest) - (moment * lengths).long()[:, None]).abs()
        values = 0.3 * torch.randn(num_rows, longest, width, generator=generator)
        values = torch.where((distance <= lengths[:, None] // 16)[:, :, None], values + 1, values)
        sequences[name] = Tokens(values.masked_fill(~mask[:, :, None], 0.0), mask, mask[:, 0])
    return sequences, labels


def stripes(num_rows: int, generator: torch.Generator) -> Rows:
    """Whether the mark is on a light stripe of 2 places or on a dark one: no mean over places knows."""
    place = torch.randint(16, (num_rows,), generator=generator)
    return {"rgb": marked(place, 16, 4, generator)}, place // 2 % 2


@pytest.mark.parametrize(
    ("make_rows", "grids"), [(meeting_on_maps, {"rgb": (4, 4), "depth": (4, 4)}), (meeting_in_time, None)]
)
@pytest.mark.parametrize("seed", range(3))
def test_it_sees_whether_things_meet_where_vectors_guess(make_rows: MakeRows, grids: Grids | None, seed: int) -> None:
    by_map = accuracy(Concat(width=16, level="map"), make_rows, grids=grids, seed=seed, steps=150)
    by_vector = accuracy(Concat(width=16), make_rows, grids=grids, seed=seed, steps=150)
    assert by_map > 0.9
    assert by_vector < 0.6


@pytest.mark.parametrize("seed", range(3))
def test_the_gain_of_each_place_remembers_what_was_where(seed: int) -> None:
    class Forgetful(Concat):
        def build(self, input_widths: Mapping[str, int], *, grids: Grids | None = None) -> Fusion:
            fusion = super().build(input_widths, grids=grids)
            with torch.no_grad():
                fusion.gain.requires_grad_(requires_grad=False).zero_()
            return fusion

    assert accuracy(Concat(width=16, level="map"), stripes, seed=seed, steps=150) > 0.95
    assert accuracy(Forgetful(width=16, level="map"), stripes, seed=seed, steps=150) < 0.8
