"""Variants of encoded inputs: what is asked together is answered as it is alone."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from tests.model.test_model_network import EVERY_FUSION, NAMES, cells, network, outputs
from torch import Tensor

from motet.core.flow import Batch, Cells, Tokens
from motet.fusion.base import FusionSpec
from motet.model import collect, exchanged, recombining
from motet.model import variant as variants
from motet.model.variant import stacked, together

NUM_ROWS = 9


def rows_of(given: Mapping[str, Cells], source: Mapping[str, Tensor]) -> dict[str, Cells]:
    """Cells of which each input is that of other rows."""
    return {
        name: Cells({key: value[source[name]] for key, value in own.values.items()}, own.present[source[name]])
        for name, own in given.items()
    }


def batch(given: Mapping[str, Cells]) -> Batch:
    return Batch(given, {}, torch.arange(NUM_ROWS))


@EVERY_FUSION
def test_an_exchanged_input_is_that_of_another_row_that_has_it(joined: FusionSpec) -> None:
    net, given = network(joined), cells(NUM_ROWS)
    found = collect(net, [batch(given)], variants=[exchanged(name) for name in NAMES])[1:]
    for name, one in zip(NAMES, found, strict=True):
        having = given[name].present.nonzero().squeeze(1).tolist()
        assert len(having) > 1
        source = {other: torch.arange(NUM_ROWS) for other in NAMES}
        for place, row in enumerate(having):
            source[name][row] = having[place - 1]
        for task, output in outputs(net, rows_of(given, source)).items():
            torch.testing.assert_close(one.outputs[task], output, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("most", [1, 2 * NUM_ROWS, 1024])
def test_how_many_are_asked_together_changes_nothing(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, given = network(), cells(NUM_ROWS)
    absent = [[], ["age"], ["review"], ["age", "colour"], list(NAMES)]

    def shorter(tokens: Mapping[str, Tokens], rows: Tensor) -> Mapping[str, Tokens]:
        """A variant may have fewer tokens than the rest."""
        one = tokens["review"]
        return {**tokens, "review": Tokens(one.values[:, :1], one.mask[:, :1], one.present)}

    apart = [collect(net, [batch(given)], absent=[names])[0] for names in absent]
    apart += [collect(net, [batch(given)], absent=[], variants=[one])[0] for one in (shorter, exchanged("age"))]
    monkeypatch.setattr(variants, "MOST_ROWS", most)
    found = collect(net, [batch(given)], absent=absent, variants=[shorter, exchanged("age")])
    assert len(found) == len(apart)
    for one, other in zip(found, apart, strict=True):
        for task in one.outputs:
            torch.testing.assert_close(one.outputs[task], other.outputs[task], atol=1e-6, rtol=1e-6)


def test_rows_are_recombined_without_encoding_them_again() -> None:
    net, given = network(), cells(NUM_ROWS)
    draw = torch.Generator().manual_seed(0)
    chosen = {name: torch.randint(NUM_ROWS, (20,), generator=draw) for name in NAMES}
    with recombining(net.train(), [batch(given)], ["price"]) as answer:
        found = answer(chosen)
    assert net.training
    assert set(found) == {"price"}
    expected = outputs(net, rows_of(given, chosen))["price"]
    torch.testing.assert_close(found["price"], expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("rows", "numbers"), [(1, 2**20), (6, 2**20), (2048, 150), (2048, 1)])
def test_rows_are_recombined_a_few_at_a_time(rows: int, numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net, given = network(), cells(NUM_ROWS)
    several = []
    for part in torch.arange(NUM_ROWS).chunk(3):
        own = rows_of(given, dict.fromkeys(NAMES, part))
        longest = int(own["review"].values["mask"].sum(dim=1).max())
        own["review"] = Cells(
            {key: one[:, :longest] for key, one in own["review"].values.items()}, own["review"].present
        )
        several.append(Batch(own, {}, part))
    encoded, decided = [], []
    encode, decide = net.encode, net.decide

    def seen_encode(inputs: Mapping[str, Cells]) -> Mapping[str, Tokens]:
        encoded.append(len(inputs["age"].present))
        return encode(inputs)

    def seen_decide(tokens: Mapping[str, Tokens], **others: Any) -> Mapping[str, Any]:
        decided.append((len(tokens["age"].present), sum(one.values.numel() for one in tokens.values())))
        return decide(tokens, **others)

    monkeypatch.setattr(net, "encode", seen_encode)
    monkeypatch.setattr(net, "decide", seen_decide)
    monkeypatch.setattr(variants, "MOST_ROWS", rows)
    monkeypatch.setattr(variants, "MOST_VALUES", numbers)
    chosen = {name: torch.randint(NUM_ROWS, (20,), generator=torch.Generator().manual_seed(1)) for name in NAMES}
    with recombining(net, several, ["price", "sold"]) as answer:
        found = answer(chosen)
    assert encoded == [3, 3, 3]
    assert sum(num_rows for num_rows, _ in decided) == 20
    assert all(num_rows <= rows and (num_rows == 1 or size <= numbers) for num_rows, size in decided)
    monkeypatch.undo()
    for task, output in outputs(net, rows_of(given, chosen)).items():
        torch.testing.assert_close(found[task], output, atol=1e-6, rtol=1e-6)


def test_words_and_maps_are_stacked_too() -> None:
    here = torch.ones(2, dtype=torch.bool)

    def one(length: int) -> Tokens:
        mask = torch.ones(2, length, dtype=torch.bool)
        return Tokens(torch.ones(2, length, 3), mask, here, mask.long(), (torch.ones(2, 1, 4, 4),))

    found = stacked([{"x": one(1)}, {"x": one(2)}])["x"]
    assert found.word is not None
    assert found.word.tolist() == [[1, -1], [1, -1], [1, 1], [1, 1]]
    assert found.values[:2, 1].abs().sum() == 0
    assert found.maps[0].shape == (4, 1, 4, 4)


def test_so_many_at_once_as_rows_and_numbers_allow(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = {"x": Tokens(torch.zeros(10, 2, 5), torch.ones(10, 2, dtype=torch.bool), torch.ones(10, dtype=torch.bool))}
    monkeypatch.setattr(variants, "MOST_ROWS", 40)
    assert together(tokens, 32) == 4
    assert together(tokens, 3) == 3
    monkeypatch.setattr(variants, "MOST_VALUES", 250)
    assert together(tokens, 32) == 2
    monkeypatch.setattr(variants, "MOST_VALUES", 1)
    assert together(tokens, 32) == 1
