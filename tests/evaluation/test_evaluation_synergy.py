import pytest
import torch
from torch import Tensor

from motet.evaluation import TaskRows
from motet.evaluation.synergy import Chosen, additive_projection, donors_of, synergy_of
from motet.tasks import Binary, Regression

N = 12
DRAW = torch.Generator().manual_seed(0)
VALUES = {name: torch.randn(N, generator=DRAW) for name in "abc"}


def projected(function, inputs: str, *, num_donors: int = N, size: int = 1024) -> Tensor:
    def answer(chosen: Chosen) -> dict[str, Tensor]:
        assert len({len(rows) for rows in chosen.values()}) == 1
        return {"y": function(*(VALUES[name][chosen[name]] for name in inputs))}

    return additive_projection(answer, list(inputs), num_rows=N, num_donors=num_donors, seed=0, size=size)["y"]


@pytest.mark.parametrize("size", [1, 30, 1024])
def test_two_inputs_by_the_equation_of_the_paper(size: int) -> None:
    def model(a: Tensor, b: Tensor) -> Tensor:
        return torch.tanh(a * b) + a**2 - torch.exp(0.5 * b)

    a, b = VALUES["a"], VALUES["b"]
    grid = [[float(model(a[i], b[j])) for j in range(N)] for i in range(N)]
    found = projected(model, "ab", size=size)
    for i in range(N):
        by_a = sum(grid[i][j] for j in range(N)) / N
        by_b = sum(grid[j][i] for j in range(N)) / N
        mean = sum(grid[j][k] for j in range(N) for k in range(N)) / N**2
        assert float(found[i]) == pytest.approx(by_a + by_b - mean, abs=1e-5)


@pytest.mark.parametrize("inputs", ["ab", "abc"])
@pytest.mark.parametrize("num_donors", [1, 3, N])
def test_what_is_a_sum_is_its_own_projection(inputs: str, num_donors: int) -> None:
    def model(*values: Tensor) -> Tensor:
        return sum((torch.sin((place + 1) * one) for place, one in enumerate(values)), torch.tensor(2.0))

    truth = model(*(VALUES[name] for name in inputs))
    torch.testing.assert_close(projected(model, inputs, num_donors=num_donors), truth)


def test_what_two_of_three_inputs_say_together_is_said_by_none() -> None:
    signs = {name: torch.tensor([1.0, -1.0])[torch.randint(2, (200,), generator=DRAW)] for name in "abc"}

    def answer(chosen: Chosen) -> dict[str, Tensor]:
        a, b, c = (signs[name][chosen[name]] for name in "abc")
        return {"y": a * b + c}

    found = additive_projection(answer, list("abc"), num_rows=200, num_donors=200, seed=0)["y"]
    assert float((found - signs["c"]).abs().mean()) < 0.3
    assert float((found - signs["a"] * signs["b"] - signs["c"]).abs().mean()) > 0.7


def test_donors_are_rows_none_twice_and_each_input_has_its_own() -> None:
    donors = donors_of(["b", "a"], num_rows=50, num_donors=20, seed=0)
    for rows in donors.values():
        assert len(set(rows.tolist())) == 20
        assert set(rows.tolist()) <= set(range(50))
    assert donors["a"].tolist() != donors["b"].tolist()


def test_synergy_is_positive_where_the_model_is_better_whichever_way_the_metric_goes() -> None:
    target = torch.arange(40) % 2
    good, bad = target * 2.0 - 1, torch.ones(40)
    everywhere = torch.ones(40, dtype=torch.bool)
    settings = {"seed": 0, "resamples": 50, "level": 0.95}
    higher = TaskRows(Binary().fit(["no", "yes"]), "accuracy", target.float(), everywhere)
    found = synergy_of(higher, good, bad, **settings)
    assert (found.value, found.full, found.additive, found.rows) == (0.5, 1.0, 0.5, 40)
    assert found.low > 0.2
    lower = TaskRows(Regression().fit([-1.0, 1.0]), "mae", good, everywhere)
    found = synergy_of(lower, good, bad, **settings)
    assert (found.value, found.full, found.additive) == pytest.approx((1.0, 0.0, 1.0))
