"""Mixed rows: two rows of a pair and their labels in one share, decided by hand beside a whole step."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import motet
from motet import balance, fusion, inputs, sharing, tasks
from motet.core.errors import SpecError
from motet.core.flow import Batch, Cells
from motet.model import Network, assemble
from motet.training import train_step
from motet.training.mix import CutMix, Mixture, Mixup
from motet.training.mixing import check_mixed

AGES, SIZES = [1.0, None, 0.5, -2.0, 0.2], [0.5, 2.0, -1.0, 0.0, 1.0]
SOLD, PRICE = ["no", "yes", "yes", None, "no"], [3.0, None, 1.0, 2.5, 0.0]
NUMBER = inputs.Number(width=4, drop=0.0)
READER = NUMBER.fit([0.0, 1.0, 2.0])
TASKS = {"sold": tasks.Binary(), "price": tasks.Regression()}
CODECS = {"sold": TASKS["sold"].fit(["no", "yes"]), "price": TASKS["price"].fit([0.0, 1.0, 4.0])}


def network(**rooms: Any) -> Network:
    return assemble(
        inputs=dict.fromkeys(("age", "size"), (NUMBER, READER)),
        tasks=rooms.get("tasks", {name: (spec, CODECS[name]) for name, spec in TASKS.items()}),
        fusion=rooms.get("fusion", fusion.Concat(width=4, dropout=0.0)),
        sharing=sharing.Hard(width=6, dropout=0.0),
        task_balance=rooms.get("balance", balance.Fixed()),
        modality_balance=rooms.get("throttle", balance.NoThrottle()),
    ).train()


def cells(reader: Any, values: list[Any]) -> Cells:
    there = torch.tensor([value is not None for value in values])
    found = reader.batch([reader.read(value) for value in values if value is not None])
    whole = {name: one.new_zeros(len(values), *one.shape[1:]) for name, one in found.items()}
    for name, one in found.items():
        whole[name][there] = one
    return Cells(whole, there)


def batch(weights: list[float] | None = None) -> Batch:
    return Batch(
        {"age": cells(READER, AGES), "size": cells(READER, SIZES)},
        {"sold": cells(CODECS["sold"], SOLD), "price": cells(CODECS["price"], PRICE)},
        torch.arange(5),
        weights=None if weights is None else torch.tensor(weights),
    )


def rows(numbers: list[int], *, without: tuple[int, ...] = ()) -> Batch:
    """Rows of these numbers with one input, which some places are without."""
    present = torch.tensor([place not in without for place in range(len(numbers))])
    return Batch({"photo": Cells({"pixels": torch.zeros(len(numbers), 3, 4, 6)}, present)}, {}, torch.tensor(numbers))


@given(
    size=st.integers(1, 9), alpha=st.floats(0.05, 5.0), step=st.integers(0, 1000), kind=st.sampled_from([Mixup, CutMix])
)
@settings(deadline=None)
def test_rows_are_partners_in_pairs_and_the_own_share_is_the_larger(
    size: int, alpha: float, step: int, kind: Any
) -> None:
    mixture = Mixture.of(rows(list(range(7, 7 + size))), kind(alpha=alpha), seed=0, step=step)
    assert mixture.partner[mixture.partner].tolist() == list(range(size))
    assert torch.equal(mixture.share, mixture.share[mixture.partner])
    assert bool((mixture.share >= 0.45).all())  # of a picture of 24 pixels, to the pixel
    if size % 2:
        assert (int(mixture.partner[-1]), float(mixture.share[-1])) == (size - 1, 1.0)
    assert size < 2 or int(mixture.partner[0]) == 1


def test_shares_are_of_the_beta_distribution() -> None:
    mixture = Mixture.of(rows(list(range(8000))), Mixup(alpha=0.5), seed=0, step=3)
    share = mixture.share[::2].double()
    grid = np.random.default_rng(0).beta(0.5, 0.5, size=200_000)
    expected = np.maximum(grid, 1 - grid)
    for moment in (1, 2, 3):
        assert float((share**moment).mean()) == pytest.approx(float((expected**moment).mean()), abs=0.01)


def test_a_pair_is_mixed_whatever_pairs_are_beside_it() -> None:
    whole = Mixture.of(rows([4, 9, 2, 7]), CutMix(), seed=1, step=5)
    alone = Mixture.of(rows([2, 7]), CutMix(), seed=1, step=5)
    assert whole.cut is not None
    assert alone.cut is not None
    assert torch.equal(whole.share[2:], alone.share)
    assert torch.equal(whole.cut[2:], alone.cut)


def test_rows_with_other_inputs_are_left_as_they_are() -> None:
    for kind in (Mixup(alpha=9.0), CutMix(alpha=9.0)):
        mixture = Mixture.of(rows([4, 9, 2, 7], without=(1,)), kind, seed=1, step=5)
        assert mixture.share[:2].tolist() == [1.0, 1.0]
        assert bool((mixture.share[2:] < 1).all())


def test_what_fusion_makes_of_rows_is_mixed() -> None:
    mixture = Mixture(torch.tensor([1, 0, 2]), torch.tensor([0.75, 0.75, 1.0]))
    vectors = torch.tensor([[1.0, 2.0], [3.0, 6.0], [math.inf, 0.0]])
    assert mixture.vectors(vectors).tolist() == [[1.5, 3.0], [2.5, 5.0], [math.inf, 0.0]]


def test_a_picture_gets_a_rectangle_of_its_partners() -> None:
    inside = torch.zeros(4, 6)
    inside[:2, 3:] = 1
    mixture = Mixture(torch.tensor([1, 0]), torch.tensor([0.75, 0.75]), torch.stack([inside.bool()] * 2))
    pixels = torch.stack([torch.zeros(3, 4, 6), torch.ones(3, 4, 6)])
    cells = {name: Cells({"pixels": pixels}, torch.tensor([True, True])) for name in ("front", "back")}
    for one in mixture.inputs(cells).values():
        assert torch.equal(one.values["pixels"][0], inside.expand(3, 4, 6))
        assert torch.equal(one.values["pixels"][1], 1 - inside.expand(3, 4, 6))
    assert torch.equal(mixture.vectors(pixels[:, 0, 0]), pixels[:, 0, 0])
    drawn = Mixture.of(rows(list(range(2000))), CutMix(), seed=0, step=0)
    assert drawn.cut is not None
    assert torch.allclose(drawn.share, 1 - drawn.cut.float().mean(dim=(1, 2)))
    for cut in drawn.cut[::200]:
        high, wide = cut.any(dim=1), cut.any(dim=0)
        assert torch.equal(cut, high[:, None] & wide)
    assert bool((drawn.cut.float().mean(dim=0) > 0.05).all()), "rectangles reach every corner"


@pytest.mark.parametrize("joined", [fusion.Concat(width=4), fusion.Late(width=4, auxiliary=0.5)], ids=["one", "two"])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, 0.0, 3.0]])
def test_a_step_is_what_the_papers_say(joined: Any, weights: list[float] | None) -> None:
    """The loss of each task, row by row and by hand, of what the network decides about the mixed tokens."""
    model, given = network(fusion=joined), batch(weights)
    mixture = Mixture.of(given, Mixup(alpha=1.0), seed=3, step=8)
    decisions = model.decide(model.encode(given.inputs), mix=mixture.vectors)
    assert sorted({float(one) == 1 for one in mixture.share}) == [False, True]
    expected = {}
    for task, spec in TASKS.items():
        outputs = [(1.0, decisions[task].output, torch.ones(5, dtype=torch.bool))]
        outputs += [
            (0.5, one.output, one.present) for one in decisions[task].opinions.values() if joined.kind == "late"
        ]
        total, count = torch.zeros(()), 0.0
        for row in range(5):
            share, partner = float(mixture.share[row]), int(mixture.partner[row])
            for of, part in ((row, share), (partner, 1 - share)):
                part *= 1.0 if weights is None else weights[of]
                target = given.targets[task].rows(torch.tensor([of]))
                if bool(target.present):
                    count += part
                    for factor, output, there in outputs:
                        if bool(there[row]):
                            total = total + factor * part * spec.loss(output[row : row + 1], target).sum()
        expected[task] = float(total.detach()) / count
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    alone = train_step(
        model, optimizer, [given], priorities=dict.fromkeys(TASKS, 1.0), seed=3, step=8, mix=Mixup(alpha=1.0)
    )
    assert alone.losses == pytest.approx(expected, rel=1e-5)
    assert alone.moved


def test_a_share_of_1_is_no_mixture() -> None:
    def moved(mix: Mixup | None) -> dict[str, Tensor]:
        torch.manual_seed(0)
        model = network()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        train_step(model, optimizer, [batch()], priorities=dict.fromkeys(TASKS, 1.0), seed=0, step=0, mix=mix)
        return model.state_dict()

    plain, hardly, mixed = moved(None), moved(Mixup(alpha=1e-9)), moved(Mixup(alpha=5.0))
    for name, value in plain.items():
        torch.testing.assert_close(hardly[name], value, rtol=1e-6, atol=1e-7)
    assert any(not torch.allclose(mixed[name], value, atol=1e-3) for name, value in plain.items())


def test_what_can_not_learn_from_mixed_rows_is_refused() -> None:
    ranking = tasks.Ranking(group="g")
    fitted = {"rank": (ranking, ranking.fit([(0, "g"), (1, "g")]))}
    for rooms, said in (
        ({"throttle": balance.OGM()}, "balance.modalities"),
        ({"balance": balance.FAMO()}, "balance.tasks"),
        ({"fusion": fusion.Late(width=4, rule="uncertainty")}, "fusion.rule"),
        ({"tasks": fitted}, r"ranking \(rank\)"),
    ):
        with pytest.raises(SpecError, match=said):
            check_mixed(network(**rooms), Mixup(), {})
    given = dict.fromkeys(("age", "size"), (NUMBER, READER))
    check_mixed(network(), Mixup(), given)
    with pytest.raises(SpecError, match=r"cutmix is for pictures alone.*inputs.age is not one picture"):
        check_mixed(network(), CutMix(), given)


@pytest.mark.parametrize("mix", ["mixup", {"kind": "cutmix", "alpha": 0.5}])
def test_a_table_is_learned_from_mixed_rows_and_a_stopped_run_goes_on(
    mix: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    chance = np.random.default_rng(0)
    table = []
    for number in range(120):
        picture = chance.integers(0, 90, (6, 6), dtype=np.uint8)
        picture[(number % 2) * 3 : (number % 2) * 3 + 3] += 120
        table.append({"photo": picture, "x": float(chance.normal() + number % 2), "side": "ab"[number % 2]})
    also = {"x": {"kind": "number", "width": 4}} if mix == "mixup" else {}
    document = {
        "data": {"train": table, "valid": 0.2, "test": 0.2},
        "inputs": {"photo": {"kind": "image", "first": 4, "width": 8}} | also,
        "tasks": {"side": "binary"},
        "fusion": {"kind": "concat", "width": 8},
        "training": {"epochs": 8, "batch_size": 16, "learning_rate": 0.01, "mix": mix},
    }
    run = motet.fit(document, out=tmp_path / "whole")
    assert run.report["side"]["auroc"].value > 0.9
    monkeypatch.setattr("motet.training.loop.LONGEST_GAP", -1.0)
    stopped = motet.fit(document, out=tmp_path / "stopped").folder
    shutil.rmtree(sorted((stopped / "checkpoints").iterdir())[-1])
    shutil.rmtree(stopped / "bundle")
    (stopped / "report.json").unlink()
    motet.fit(document, out=stopped, resume=True)
    weights = [(one / "bundle" / "weights.safetensors").read_bytes() for one in (run.folder, stopped)]
    assert weights[0] == weights[1]
