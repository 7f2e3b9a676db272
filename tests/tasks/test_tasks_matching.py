"""Matching: losses by hand, several positives, rows that take no part, and the rank of each row's partner."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from motet import inputs
from motet.core.errors import CellError, DataError, SpecError
from motet.core.flow import Cells, Tokens
from motet.data import read_table
from motet.model.columns import labels_of
from motet.nn.contrast import infonce, sigmoid
from motet.run.columns import with_columns
from motet.tasks import Matching, Reading
from motet.tasks.matching import MatchingCodec, MatchingHead
from motet.tasks.matching.codec import item_of
from motet.tasks.matching.ranks import Place, places

CODEC = MatchingCodec(between=("photo", "note"))
SPECS = [Matching(objective="infonce"), Matching(objective="sigmoid")]


def drawn(seed: int, rows: int, width: int = 4) -> torch.Tensor:
    vectors = torch.randn(rows, 2, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=2)


def cells(items: list[int], present: list[bool] | None = None) -> Cells:
    there = torch.ones(len(items), dtype=torch.bool) if present is None else torch.tensor(present)
    return Cells({"target": torch.tensor(items)}, there)


def infonce_by_hand(z: list[list[float]], items: list[int]) -> list[float]:
    """Per row: minus the mean log-probability of its positives in either direction, less the least there can be."""
    losses = []
    for i in range(len(items)):
        positives = [j for j in range(len(items)) if items[j] == items[i]]
        total = 0.0
        for scores in ([z[i][j] for j in range(len(items))], [z[j][i] for j in range(len(items))]):
            norm = math.log(sum(math.exp(score) for score in scores))
            total += -sum(scores[p] - norm for p in positives) / len(positives) - math.log(len(positives))
        losses.append(total / 2)
    return losses


def sigmoid_by_hand(z: list[list[float]], items: list[int]) -> float:
    """The loss as the paper writes it, over all pairs."""
    total = 0.0
    for i, j in itertools.product(range(len(items)), repeat=2):
        sign = 1 if items[i] == items[j] else -1
        total += math.log(1 / (1 + math.exp(-sign * z[i][j])))
    return -total / len(items)


@pytest.mark.parametrize("items", [[0, 1, 2, 3, 4], [0, 0, 1, 2, 0], [7, 7, 7, 7, 7]])
def test_losses_as_written(items: list[int]) -> None:
    z = torch.randn(5, 5, generator=torch.Generator().manual_seed(0)).double() * 3
    same = torch.tensor(items)[:, None] == torch.tensor(items)
    assert infonce(z, same).tolist() == pytest.approx(infonce_by_hand(z.tolist(), items))
    assert float(sigmoid(z, same).mean()) == pytest.approx(sigmoid_by_hand(z.tolist(), items))


def test_one_pair_by_hand() -> None:
    """Two rows, unit vectors at right angles, scale 2: each picks its partner at probability e^2 / (e^2 + 1)."""
    vectors = math.sqrt(2) * torch.eye(2)[:, None].expand(2, 2, 2)
    loss = Matching().loss(vectors, cells([3, 5]))
    assert loss.tolist() == pytest.approx([-math.log(math.e**2 / (math.e**2 + 1))] * 2)


def test_the_cross_entropy_of_clip_where_items_differ() -> None:
    z = torch.randn(6, 6, generator=torch.Generator().manual_seed(1)) * 4
    which = torch.arange(6)
    both = [torch.nn.functional.cross_entropy(one, which, reduction="none") for one in (z, z.T)]
    torch.testing.assert_close(infonce(z, torch.eye(6, dtype=torch.bool)), sum(both) / 2)


@pytest.mark.parametrize("spec", SPECS)
def test_equal_items_pull_and_others_push(spec: Matching) -> None:
    """The gradient draws a row to the partner of its double, and away from that of any other row."""
    vectors = (0.1 * drawn(0, 4)).requires_grad_()
    spec.loss(vectors, cells([1, 1, 2, 3])).sum().backward()
    first, second = vectors.detach()[:, 0], vectors.detach()[:, 1]
    z = (first @ second.T).requires_grad_()
    compare = infonce if spec.objective == "infonce" else sigmoid
    same = torch.tensor([1, 1, 2, 3])[:, None] == torch.tensor([1, 1, 2, 3])
    (slope,) = torch.autograd.grad(compare(z, same).sum(), z)
    assert bool((slope[same] < 0).all())
    assert bool((slope[~same] > 0).all())
    torch.testing.assert_close(vectors.grad[:, 0], slope @ second)


def test_doubles_that_are_alike_cost_nothing() -> None:
    """Perfect vectors of two items, one of them in three rows: no row is pushed from its doubles."""
    vectors = 10 * torch.eye(2)[torch.tensor([0, 0, 0, 1])][:, None].expand(4, 2, 2)
    assert Matching().loss(vectors, cells([4, 4, 4, 9])).max() < 1e-6
    assert Matching().loss(vectors, cells([1, 2, 3, 9])).min() >= 0
    assert Matching().loss(vectors, cells([1, 2, 3, 9]))[0] > 1


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("poison", [0.0, 5.0, float("nan"), float("inf")])
def test_rows_without_a_label_are_no_negatives(spec: Matching, poison: float) -> None:
    vectors = drawn(2, 6) * 3
    alone = spec.loss(vectors[:4], cells([1, 2, 3, 2]))
    given = torch.cat([vectors[:4], torch.full_like(vectors[4:], poison)]).requires_grad_()
    loss = spec.loss(given, cells([1, 2, 3, 2, 1, 8], present=[True] * 4 + [False] * 2))
    assert torch.equal(loss[:4], alone)
    assert loss[4:].tolist() == [0, 0]
    (gradient,) = torch.autograd.grad(loss.sum(), given)
    assert bool((gradient[4:] == 0).all())
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("spec", SPECS)
def test_no_row_and_one_row(spec: Matching) -> None:
    assert spec.loss(drawn(0, 3), cells([1, 2, 3], present=[False] * 3)).tolist() == [0, 0, 0]
    one = spec.loss(drawn(0, 1), cells([1]))
    assert bool(one.isfinite().all())


def test_raw_products_are_the_logits_of_the_papers() -> None:
    reading = two_sides(rows=3)
    for head, scale, bias in ((built(Matching()), 1 / 0.07, 0.0), (built(Matching(objective="sigmoid")), 10.0, -10.0)):
        raw, unit = head(reading, cells([1, 2, 3])).detach(), head.answer(reading)
        logits = raw[:, 0] @ raw[:, 1].T
        torch.testing.assert_close(logits, scale * unit[:, 0] @ unit[:, 1].T + bias, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(unit.norm(dim=2), torch.ones(3, 2))


def test_the_scale_is_clipped_at_a_hundred_and_can_come_down() -> None:
    head, reading = built(Matching()), two_sides(rows=3)
    head.scale.data.fill_(7.0)
    raw = head(reading, cells([1, 2, 3]))
    assert raw[:, 0].norm(dim=1).pow(2).mean().item() == pytest.approx(100, rel=1e-4)
    raw.pow(2).sum().backward()
    assert head.scale.grad is not None
    assert float(head.scale.grad) > 0


def test_an_absent_side_is_zeros_and_the_other_as_ever() -> None:
    head, whole = built(Matching()), two_sides(rows=3)
    some = two_sides(rows=3, photo=[True, False, True], note=[True, True, False])
    answers = head.answer(some)
    assert bool((answers[1, 0] == 0).all())
    assert bool((answers[2, 1] == 0).all())
    assert torch.equal(answers[[0, 1, 2], [1, 1, 0]], head.answer(whole)[[0, 1, 2], [1, 1, 0]])
    decoded = CODEC.decode(answers)
    assert decoded[""][1] is None
    assert decoded[""][2] is None
    assert -1 <= decoded[""][0] <= 1
    assert decoded["photo"][1] is None
    assert decoded["note"][2] is None
    assert decoded["note"][1] == pytest.approx(answers[1, 1].tolist(), abs=1e-6)
    cosine = sum(a * b for a, b in zip(decoded["photo"][0], decoded["note"][0], strict=True))
    assert decoded[""][0] == pytest.approx(cosine, abs=1e-5)


def test_attention_begins_as_the_mean() -> None:
    means, looks = (built(Matching(pool=pool)) for pool in ("mean", "attention"))
    looks.load_state_dict(means.state_dict(), strict=False)
    reading = two_sides(rows=3)
    torch.testing.assert_close(looks.answer(reading), means.answer(reading))
    with torch.no_grad():
        for _, side in looks.sides.items():
            side.look.normal_(generator=torch.Generator().manual_seed(0))
    assert (looks.answer(reading) - means.answer(reading)).abs().max() > 0.01


def built(spec: Matching) -> MatchingHead:
    spec = spec.model_copy(update={"between": ("photo", "note")})
    torch.manual_seed(0)
    from motet.tasks import Source

    return spec.build(CODEC, 5, {"photo": Source(6, CODEC), "note": Source(4, CODEC)}).eval()


def two_sides(rows: int, **present: list[bool]) -> Reading:
    generator = torch.Generator().manual_seed(0)
    tokens = {}
    for name, width in (("photo", 6), ("note", 4)):
        there = torch.tensor(present.get(name, [True] * rows))
        values = torch.randn(rows, 3, width, generator=generator)
        mask = torch.where(there[:, None], True, torch.arange(3) == 0)
        tokens[name] = Tokens(values, mask, there)
    return Reading(torch.zeros(rows, 5), tokens)


def scored_by_hand(vectors: np.ndarray, items: list[int], k: int) -> tuple[float, float]:
    """recall@k and median rank, each the mean of both directions; every order of those as near is gone through."""
    first: list[tuple[float, float]] = []
    second: list[tuple[float, float]] = []
    for i, item in enumerate(items):
        of_item: dict[int, float] = {}
        for j, other in enumerate(items):
            of_item[other] = max(of_item.get(other, -9.0), round(float(vectors[i, 0] @ vectors[j, 1]), 9))
        first.append(mean_place([(score, other == item) for other, score in of_item.items()], k))
        rows = [(round(float(vectors[i, 1] @ vectors[j, 0]), 9), items[j] == item) for j in range(len(items))]
        second.append(mean_place(rows, k))
    recall = [np.mean([hit for hit, _ in way]) for way in (first, second)]
    median = [np.median([rank for _, rank in way]) for way in (first, second)]
    return float(np.mean(recall)), float(np.mean(median))


def mean_place(candidates: list[tuple[float, bool]], k: int) -> tuple[float, float]:
    """The mean over all orders: whether a true one is among the first k, and the rank of the first true one."""
    ranks = []
    for order in itertools.permutations(candidates):
        by_score = sorted(order, key=lambda one: -one[0])
        ranks.append(1 + next(place for place, (_, true) in enumerate(by_score) if true))
    return float(np.mean([rank <= k for rank in ranks])), float(np.mean(ranks))


@pytest.mark.parametrize("levels", [1, 2, 30])
@pytest.mark.parametrize("items", [[0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 2, 2], [5, 5, 5, 1, 1, 5]])
def test_metrics_by_hand(items: list[int], levels: int) -> None:
    """`levels` 1: a constant answer; 2: many that are as near as each other."""
    vectors = torch.randint(1, levels + 1, (6, 2, 2), generator=torch.Generator().manual_seed(levels)).double()
    metrics = {metric.name: metric for metric in CODEC.metrics()}
    target = torch.tensor(items)
    for k in (1, 5):
        expected, median = scored_by_hand(vectors.numpy(), items, k)
        assert metrics[f"recall_at_{k}"].compute(vectors, target) == pytest.approx(expected)
        assert metrics["median_rank"].compute(vectors, target) == pytest.approx(median)


def test_a_constant_answer_scores_chance() -> None:
    target = torch.arange(20).repeat_interleave(3)
    recall, _, median = CODEC.metrics()
    nothing = CODEC.trivial(CODEC.prior(target), target)
    in_rows = 1 - math.comb(57, 5) / math.comb(60, 5)
    assert recall.compute(nothing, target) == pytest.approx((5 / 20 + in_rows) / 2)
    assert median.compute(nothing, target) == pytest.approx((10.5 + 1 + 57 / 4) / 2)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=12), st.integers(0, 1000))
def test_places_do_not_depend_on_order(items: list[int], seed: int) -> None:
    vectors, target = drawn(seed, len(items)).double(), torch.tensor(items)
    turn = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))
    for metric in CODEC.metrics():
        assert metric.compute(vectors[turn], target[turn]) == pytest.approx(metric.compute(vectors, target))


def test_an_absent_side_misses_and_is_not_there_to_be_found() -> None:
    vectors, items = drawn(3, 5).double().numpy(), np.array([1, 2, 3, 4, 5])
    vectors[4, 1] = 0
    there, back = places(vectors, items)
    without, without_back = places(vectors[:4], items[:4])
    for found, expected in ((there, without), (back, without_back)):
        if found is there:  # the other way its picture is still there to be found
            assert found.above[:4].tolist() == expected.above.tolist()
        else:
            assert bool((found.above[:4] >= expected.above).all())
        assert found.hits(5)[4] == 0
        assert found.ranks()[4] == 5
    vectors[:, 0] = 0
    for place in places(vectors, items):
        assert place.hits(5).tolist() == [0] * 5
        assert place.ranks().tolist() == [5] * 5


def test_expected_hits_by_drawing() -> None:
    """Three better, four others and two true ones in the best place: drawn 20,000 times."""
    place = Place(above=np.array([3]), beside=np.array([4]), own=np.array([2]), last=20)
    chance = np.random.default_rng(0)
    ranks = np.array([4 + chance.permutation(6)[:2].min() for _ in range(20_000)])
    for k in range(1, 10):
        assert place.hits(k)[0] == pytest.approx((ranks <= k).mean(), abs=0.015)
    assert place.ranks()[0] == pytest.approx(ranks.mean(), abs=0.03)


def test_drawn_rows_ask_among_all() -> None:
    vectors, target = drawn(4, 9), torch.tensor([0, 1, 2, 3, 4, 5, 6, 7, 8])
    recall_5, recall_1, median = CODEC.metrics()
    one_by_one = [recall_1.of_rows(vectors, target)(torch.tensor([row])) for row in range(9)]
    rows = torch.tensor([2, 2, 2, 5])
    assert recall_1.of_rows(vectors, target)(rows) == pytest.approx((3 * one_by_one[2] + one_by_one[5]) / 4)
    both = [place.ranks()[rows.numpy()] for place in places(vectors.double().numpy(), target.numpy())]
    assert median.of_rows(vectors, target)(rows) == pytest.approx(np.mean([np.median(one) for one in both]))
    assert math.isnan(recall_5.compute(torch.full((2, 2, 3), math.nan), torch.tensor([1, 2])))
    assert math.isnan(median.compute(vectors[:0], target[:0]))


def test_equal_cells_are_the_same_item() -> None:
    assert len({item_of(cell) for cell in (5, 5.0, "5", np.int64(5), np.float64(5))}) == 1
    assert item_of([1, 2]) == item_of((1, 2)) != item_of([2, 1])
    assert item_of([[1], 2]) != item_of([1, [2]])
    assert item_of("ab") != item_of(["a", "b"])
    assert item_of(np.zeros(4)) == item_of(np.zeros(4)) != item_of(np.zeros((2, 2)))
    assert item_of(Path("a.png")) == item_of("a.png")
    assert item_of(b"x") == item_of(b"x")
    assert item_of(True) == item_of("true")
    assert 0 <= item_of("any") < 2**52
    for cell in ({"a": 1}, {1}, object()):
        with pytest.raises(CellError, match="told from another"):
            item_of(cell)


def test_which_side_the_labels_are() -> None:
    kinds = {"text": "text", "photo": "image"}
    assert Matching().reading(kinds).reads == ("photo", "text")
    assert Matching().reading({"b": "text", "a": "text"}).reads == ("a", "b")
    assert Matching(between=("text", "photo")).reading(kinds).reads == ("text", "photo")
    assert Matching().label_from == 1
    assert Matching(column="product").label_from is None
    table = read_table([{"photo": "a.png", "text": "a", "product": 1}])
    given = {"photo": inputs.Image(), "text": inputs.Text()}
    for spec, column in ((Matching(), "text"), (Matching(column="product"), "product")):
        found, jobs = with_columns(given, {"match": spec}, table.column_names)
        assert labels_of("match", jobs["match"], found).place.names == (column,)
        assert labels_of("match", jobs["match"], found).needs == ("photo", "text")


def test_what_can_not_be_matched_is_refused() -> None:
    with pytest.raises(SpecError, match="there are 3: name two"):
        Matching().reading({"a": "text", "b": "text", "c": "image"})
    with pytest.raises(SpecError, match="no input 'phto'; did you mean 'photo'"):
        Matching(between=("phto", "text")).reading({"photo": "image", "text": "text"})
    with pytest.raises(SpecError, match="named twice"):
        Matching(between=("text", "text")).reading({"photo": "image", "text": "text"})
    spec = Matching(between=("photo", "text"))
    for cells, reason in (([], "has both"), (["a", "a"], "same item"), ([{}], "has both")):
        with pytest.raises(DataError, match=reason):
            spec.fit(cells, {})
