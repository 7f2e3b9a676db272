"""One latent space by hand and by its equations; what decoding imputes, and that it makes no space collapse."""

import itertools
import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from motet.core.errors import SpecError
from motet.core.flow import Tokens
from motet.fusion import Hybrid, Latent, LatentFusion
from motet.fusion.latent.decode import Decoders
from motet.spec import load
from motet.testing.tokens import WIDTHS, example


def one_token(present: list[bool], *vectors: list[float]) -> Tokens:
    values = torch.tensor(vectors)[:, None]
    return Tokens(values, torch.ones(len(present), 1, dtype=torch.bool), torch.tensor(present))


def built(**fields: object) -> LatentFusion:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Latent(width=5, **fields).build(WIDTHS).eval()


def by_the_equation(fusion: LatentFusion, tokens: Mapping[str, Tokens], row: int) -> dict[str, Tensor]:
    """`sqrt(W) P x / |P x|` of the inputs that a row has, from the weights."""
    state, found = fusion.state_dict(), {}
    for name, one in tokens.items():
        if one.present[row]:
            x = one.values[row][one.mask[row]].mean(dim=0)
            y = state[f"project.{name}.layers.0.weight"] @ x + state[f"project.{name}.layers.0.bias"]
            found[name] = y / y.square().sum().sqrt() * math.sqrt(5)
    return found


def told(fusion: LatentFusion, source: str, target: str, z: Tensor) -> Tensor:
    state = {name.split(f"towards.{target}.{source}.layers.")[-1]: one for name, one in fusion.state_dict().items()}
    hidden = state["0.weight"] @ z + state["0.bias"]
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
    return state["2.weight"] @ hidden + state["2.bias"]


def test_two_inputs_by_hand() -> None:
    """(3, 4) is the direction (.6, .8), (0, -2) is (0, -1); on the sphere of radius sqrt 2, and their mean."""
    fusion = LatentFusion({"a": 2, "b": 2}, width=2, align="none")
    for _, project in fusion.project.items():
        torch.nn.init.eye_(project.layers[0].weight)
        torch.nn.init.zeros_(project.layers[0].bias)
    a, b = one_token([True, True], [3.0, 4.0], [3.0, 4.0]), one_token([True, False], [0.0, -2.0], [math.nan, 9.0])
    pooled = fusion({"a": a, "b": b})["joint"].pooled
    expected = math.sqrt(2) * torch.tensor([[0.3, -0.1], [0.6, 0.8]])
    torch.testing.assert_close(pooled, expected)


def test_the_mean_of_the_points_on_every_subset() -> None:
    fusion, tokens = built(align="none"), example(WIDTHS)
    joint = fusion(tokens)["joint"]
    for row in range(len(joint.pooled)):
        points = by_the_equation(fusion, tokens, row)
        expected = torch.stack(list(points.values())).mean(dim=0) if points else torch.zeros(5)
        torch.testing.assert_close(joint.pooled[row], expected)
        assert bool(joint.present[row]) == bool(points)


def test_what_is_absent_is_the_mean_of_what_the_others_say_of_it() -> None:
    fusion, tokens = built(align="none", decode=True), example(WIDTHS)
    joint = fusion(tokens)["joint"]
    for row in range(len(joint.pooled)):
        points = by_the_equation(fusion, tokens, row)
        for target in set(WIDTHS) - set(points) if points else ():
            said = [told(fusion, source, target, points[source]) for source in WIDTHS if source in points]
            points = {**points, f"imputed {target}": torch.stack(said).mean(dim=0)}
        assert len(points) in (0, 3)
        expected = torch.stack(list(points.values())).mean(dim=0) if points else torch.zeros(5)
        torch.testing.assert_close(joint.pooled[row], expected)


def test_the_losses_are_those_of_the_rows_that_have_both() -> None:
    """CLIP's loss and that of decoding, in loops, over the rows with both inputs of each pair."""
    fusion, tokens = built(decode=True, weight=0.3, decode_weight=0.6), example(WIDTHS)
    assert fusion.align is not None
    points = [by_the_equation(fusion, tokens, row) for row in range(8)]
    found = fusion.objectives(tokens)
    names = [f"contrastive {a} {b}" for a, b in itertools.combinations(sorted(WIDTHS), 2)]
    assert sorted(found) == sorted(names + [f"decode {a} to {b}" for a, b in itertools.permutations(WIDTHS, 2)])
    scale = 1 / 0.07
    for a, b in itertools.combinations(sorted(WIDTHS), 2):
        rows = [row for row in points if a in row and b in row]
        z = [[scale * float(i[a] @ j[b]) / 5 for j in rows] for i in rows]
        total = 0.0
        for i in range(len(rows)):
            across, down = z[i], [z[j][i] for j in range(len(rows))]
            total -= sum(one[i] - math.log(sum(map(math.exp, one))) for one in (across, down)) / 2
        assert float(found[f"contrastive {a} {b}"].sum.detach()) == pytest.approx(0.3 / 3 * total, rel=1e-4)
        assert int(found[f"contrastive {a} {b}"].count) == len(rows) == 2
        for source, target in ((a, b), (b, a)):
            loss = sum(float((told(fusion, source, target, r[source]) - r[target]).square().sum()) / 5 for r in rows)
            term = found[f"decode {source} to {target}"]
            assert float(term.sum.detach()) == pytest.approx(0.6 / 6 * loss, rel=1e-4)
            assert int(term.count) == 2


def test_a_target_is_held_fixed() -> None:
    """What is decoded moves the source and the decoder; the target's own way into the space learns nothing by it."""
    fusion, tokens = built(align="none", decode=True), example(WIDTHS)
    fusion.objectives(tokens)["decode age to photo"].sum.backward()
    moved = {name.split(".")[1] for name, one in fusion.named_parameters() if one.grad is not None and one.grad.any()}
    assert moved == {"age", "towards"}


def spread_after_decoding(steps: int = 60) -> float:
    """How far the points of different rows are from their mean after learning to decode and nothing else: at most 1."""
    generator = torch.Generator().manual_seed(0)
    common, there = torch.randn(64, 2, generator=generator), torch.ones(64, dtype=torch.bool)
    own = {name: torch.randn(64, 4, generator=generator) for name in "ab"}
    tokens = {
        name: Tokens(torch.cat([common, one], dim=1)[:, None], there[:, None], there) for name, one in own.items()
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fusion = LatentFusion(dict.fromkeys("ab", 6), width=8, align="none", decode=True)
    optimizer = torch.optim.Adam(fusion.parameters(), 0.1)
    for _ in range(steps):
        loss = torch.stack([term.sum / term.count for term in fusion.objectives(tokens).values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    points = torch.stack(list(fusion.points(tokens).values()))
    return float((points - points.mean(dim=1, keepdim=True)).square().mean().detach())


def test_decoding_does_not_make_the_space_collapse(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the targets held fixed the points stay apart; were they not, they would move to where guessing is easy."""
    assert spread_after_decoding() > 0.6

    def moving(self: Decoders, x: Tensor, y: Tensor, *, source: str, target: str) -> Tensor:
        return (self.towards[target][source](x) - y).square().mean(dim=1).sum()

    monkeypatch.setattr(Decoders, "loss", moving)
    assert spread_after_decoding() < 0.3


def test_with_decode_a_row_is_imputed_and_without_it_removed() -> None:
    assert Latent().build(WIDTHS).exact
    assert not Latent(decode=True).build(WIDTHS).exact


def test_the_scale_is_clipped() -> None:
    fusion, tokens = built(), example(WIDTHS)
    torch.nn.init.constant_(fusion.align.scale, 9.0)  # type: ignore[union-attr]
    fusion.objectives(tokens)
    assert float(fusion.align.scale.detach()) == pytest.approx(math.log(100))  # type: ignore[union-attr]


def test_one_input_has_nothing_to_compare() -> None:
    fusion = Latent(decode=True, width=4).build({"a": 2})
    tokens = {"a": one_token([True, False], [1.0, 2.0], [math.nan, 0.0])}
    assert fusion.objectives(tokens) == {}
    assert fusion(tokens)["joint"].pooled[1].tolist() == [0.0] * 4


def test_hybrid_has_the_losses_of_its_joint_stream() -> None:
    spec = Hybrid(fusion=Latent(width=4))
    fusion, tokens = spec.build(WIDTHS), example(WIDTHS)
    assert (spec.whole_batch, Hybrid().whole_batch, fusion.learns_alone) == (True, False, True)
    found, expected = fusion.objectives(tokens), fusion.joint.objectives(tokens)
    assert len(found) == 3
    assert {name: float(one.sum.detach()) for name, one in found.items()} == {
        name: float(one.sum.detach()) for name, one in expected.items()
    }


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"align": "none", "weight": 0.7}, "`weight` says nothing"), ({"decode_weight": 0.7}, "`decode: true`")],
)
def test_a_weight_that_nothing_heeds_is_refused(fields: dict[str, object], says: str) -> None:
    given = {"inputs": {"a": "number"}, "tasks": {"b": "regression"}, "data": {"train": "t.csv"}}
    with pytest.raises(SpecError, match=says):
        load({**given, "fusion": {"kind": "latent", **fields}})
