"""Sets of labels: how they are written, deep sets by hand, and that order never counts."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from motet.core.errors import CellError
from motet.inputs import Set, SetEncoder, SetPreparation

CELLS: list[object] = ["red|round", ["round", 5], ["5", "red"], [], "blue"]


def encoded(preparation: SetPreparation, encoder: SetEncoder, cell: object) -> Tensor:
    tokens = encoder.eval()(preparation.batch([preparation.read(cell)]))
    return tokens.values[0][tokens.mask[0]]


def built(spec: Set) -> tuple[SetPreparation, SetEncoder]:
    preparation = spec.fit(CELLS)
    torch.manual_seed(0)
    return preparation, spec.build(preparation)


def test_all_ways_of_writing_a_set_agree() -> None:
    preparation = Set(separator=";").fit([["red", 5], ["5", "red"], ["round"]])
    assert preparation.vocabulary.labels == ("5", "red")
    for cell in (
        "red;5",
        " 5 ; red",
        ["red", 5.0],
        ("5", "red"),
        {"red", "5"},
        np.array(["red", "5"]),
        '["5", "red", "red"]',
    ):
        assert preparation.read(cell).tolist() == [1, 2]
    assert preparation.read([]).tolist() == preparation.read("[]").tolist() == []


def test_labels_of_most_rows_are_known_and_every_other_is_unknown() -> None:
    preparation = Set(most=2).fit(["a|b|c", "a|b|c", "a|d", "b", "e|e|e"])
    assert preparation.vocabulary.labels == ("a", "b")
    assert preparation.read("c|a|never seen").tolist() == [0, 0, 1]


@pytest.mark.parametrize("cell", [{"no": "set"}, [["red"]], [None], [float("nan")]])
def test_what_is_no_set_is_refused(cell: object) -> None:
    with pytest.raises(CellError, match=r"a label is|not a finite"):
        Set().fit(CELLS).read(cell)


def test_brackets_without_end_are_no_list() -> None:
    cell = "[" * 100_000
    preparation = Set().fit([cell, "red|round", "red|round"])
    assert preparation.vocabulary.labels == ("red", "round")
    assert preparation.read(cell).tolist() == [0]


@pytest.mark.parametrize("pool", ["sum", "mean"])
def test_one_token_is_rho_of_the_pooled_vectors(pool: str) -> None:
    preparation, encoder = built(Set.model_validate({"pool": pool, "width": 6}))
    first, second = (layer for layer in encoder.rho.layers if isinstance(layer, torch.nn.Linear))  # type: ignore[union-attr]
    for cell in ("red|round", "red|5|round|never seen", []):
        numbers = preparation.read(cell).tolist()
        pooled = torch.zeros(6)
        for number in numbers:
            pooled = pooled + encoder.embedding.weight[number]
        if pool == "mean" and numbers:
            pooled = pooled / len(numbers)
        hidden = torch.nn.functional.gelu(first.weight @ pooled + first.bias)
        torch.testing.assert_close(encoded(preparation, encoder, cell)[0], second.weight @ hidden + second.bias)


@given(st.permutations(["red", "round", "5", "blue", "new"]), st.booleans())
def test_order_and_repetition_do_not_matter(labels: list[str], tokens: bool) -> None:
    preparation, encoder = built(Set(tokens=tokens, width=6))
    expected = encoded(preparation, encoder, "red|round|5|blue|new")
    assert encoded(preparation, encoder, [*labels, labels[0]]).equal(expected)


def test_the_encoder_itself_does_not_see_the_order() -> None:
    _, encoder = built(Set(width=6))
    mask = torch.ones(1, 3, dtype=torch.bool)
    one, other = (
        encoder.eval()({"index": torch.tensor([index]), "mask": mask}).values for index in ([1, 2, 0], [0, 1, 2])
    )
    torch.testing.assert_close(one, other)


def test_with_tokens_each_member_is_one_and_the_empty_set_too() -> None:
    preparation, encoder = built(Set(tokens=True, width=6))
    weight = encoder.embedding.weight
    assert encoded(preparation, encoder, ["round", "red"]).equal(weight[preparation.read("red|round")])
    assert encoder.empty is not None
    assert encoded(preparation, encoder, []).equal(encoder.empty[None])


def test_padding_reaches_nothing() -> None:
    preparation, encoder = built(Set(width=6))
    values = preparation.batch([preparation.read("red"), preparation.read("red|round|5")])
    poisoned = values["index"].masked_fill(~values["mask"], 10**9)
    assert encoder.eval()({**values, "index": poisoned}).values.equal(encoder(values).values)


def test_the_sum_knows_how_many_there_are_and_the_mean_does_not() -> None:
    for pool, same in (("sum", False), ("mean", True)):
        preparation, encoder = built(Set.model_validate({"pool": pool}))
        one, two = (encoded(preparation, encoder, cell) for cell in (["new"], ["new", "newer"]))
        assert torch.allclose(one, two) == same


def test_unknown_learns_to_stand_in() -> None:
    encoder = SetEncoder(num_labels=2, width=4, unseen=0.5)
    torch.manual_seed(0)
    encoder({"index": torch.full((64, 1), 2), "mask": torch.ones(64, 1, dtype=torch.bool)}).values.sum().backward()
    grad = encoder.embedding.weight.grad
    assert grad is not None
    assert grad[0].abs().sum() > 0
    assert grad[1].abs().sum() == 0
