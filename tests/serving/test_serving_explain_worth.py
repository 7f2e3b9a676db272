"""The number that speaks for an answer, of every kind of task, by hand or as it is decoded."""

import math
from typing import Any

import pytest
import torch

from motet.serving.explain import worth_of
from motet.tasks import Binary, Count, Multiclass, Multilabel, Ordinal, Regression


def test_what_speaks_for_an_answer() -> None:
    def worth(codec: Any, output: list[Any], answered: list[Any]) -> float:
        speaks = worth_of(codec)
        assert speaks is not None
        return float(speaks(torch.tensor([output]).double(), torch.tensor([answered]).double())[0])

    def by_class(*parts: float) -> list[float]:
        return [math.log(part) for part in parts]

    yes = Binary().fit(["no", "yes"])
    assert worth(yes, math.log(3), 0.1) == pytest.approx(0.75)
    assert worth(yes, math.log(3), -0.1) == pytest.approx(0.25)
    assert worth(Multiclass().fit(["a", "a", "b"]), by_class(1, 3), by_class(5, 4)) == pytest.approx(0.25)
    middle = by_class(0.4, 0.3, 0.3)  # the likeliest is the lowest, the median the one between
    assert worth(Ordinal().fit([1, 1, 2, 2, 3, 3]), by_class(0.2, 0.1, 0.7), middle) == pytest.approx(0.1)
    assert worth(Multilabel().fit(["a|b"]), by_class(3, 1), [1.0, -1.0]) == pytest.approx((0.75 + 0.5) / 2)
    number = Regression().fit([1.0, 3.0])
    assert worth(number, 1.0, 0.0) == pytest.approx(number.decode(torch.tensor([1.0]))[""][0])
    count = Count().fit([1, 5, 9])
    assert worth(count, 1.0, 0.0) == pytest.approx(count.decode(torch.tensor([1.0]))[""][0])
    quantiles = Regression.model_validate({"error": "quantile"}).fit([1.0, 2.0, 7.0])
    out = [3.0, 0.5, -1.0]
    assert worth(quantiles, out, out) == pytest.approx(quantiles.decode(torch.tensor([out]))[""][0])
    gaussian = Regression.model_validate({"error": "gaussian"}).fit([1.0, 2.0, 7.0])
    assert worth(gaussian, [1.0, 2.0], [1.0, 2.0]) == pytest.approx(gaussian.decode(torch.tensor([[1.0, 2.0]]))[""][0])
    assert worth_of(Regression(columns=("a", "b")).fit([[0, 0], [2, 20]])) is None
