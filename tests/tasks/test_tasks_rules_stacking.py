"""Stacking: shares of each task's own, and how they are fitted."""

import numpy as np
import pytest
import torch
from opinions import LABELS, build, opinions, raw
from scipy.optimize import minimize

from motet.core.flow import Cells
from motet.tasks.rules import Opinion, Stacking, fit_shares

EVERY_KIND = pytest.mark.parametrize("kind", LABELS)


def rows_of(kind: str, num_rows: int, noises: dict[str, float], *, seed: int = 0) -> tuple[dict[str, Opinion], Cells]:
    """Decisions of streams that know the labels through more or less noise."""
    generator = torch.Generator().manual_seed(seed)
    spec, labels = LABELS[kind]
    shape = spec.output_shape(spec.fit(labels))
    if kind == "multiclass":
        y = torch.randint(3, (num_rows,), generator=generator)
        truth = 2.0 * torch.nn.functional.one_hot(y, 3)
    elif kind == "regression":
        y = truth = torch.randn(num_rows, generator=generator)
    else:
        y = torch.randint(2, (num_rows, *shape), generator=generator).float()
        truth = 4 * y - 2
    said = {s: truth + noise * torch.randn(num_rows, *shape, generator=generator) for s, noise in noises.items()}
    return opinions(said), Cells({"target": y}, torch.ones(num_rows) > 0)


@EVERY_KIND
def test_until_shares_are_set_it_is_the_mean(kind: str) -> None:
    given = opinions({"a": raw(kind, seed=1), "b": raw(kind, seed=2)}, present={"b": [True, False, True, True, False]})
    torch.testing.assert_close(build(kind, "stacking")(given), build(kind, "mean")(given))


@EVERY_KIND
def test_shares_that_are_set_are_those_of_the_mean_over_the_present(kind: str) -> None:
    rule, said = build(kind, "stacking", "abc"), {stream: raw(kind, seed=seed) for seed, stream in enumerate("abc")}
    present = {"c": [True, False, True, True, False]}
    rule.set_shares({"c": 6.0, "a": 1.0, "b": 3.0})
    row_weights = {"a": [0.1, 0.25, 0.1, 0.1, 0.25], "b": [0.3, 0.75, 0.3, 0.3, 0.75], "c": [0.6, 0.0, 0.6, 0.6, 0.0]}
    expected = build(kind, "mean", "abc")(opinions(said, present=present, weights=row_weights))
    torch.testing.assert_close(rule(opinions(said, present=present)), expected)


def test_shares_of_fusion_do_not_count() -> None:
    said = {"a": torch.tensor([1.0]), "b": torch.tensor([3.0])}
    assert build("regression", "stacking")(opinions(said, weights={"a": [0.9], "b": [0.1]})).item() == 2.0


def test_shares_are_kept_with_the_weights_and_are_not_trained() -> None:
    rule, again = build("regression", "stacking", ["a.b", "type"]), build("regression", "stacking", ["a.b", "type"])
    rule.set_shares({"a.b": 1.0, "type": 3.0})
    assert not list(rule.parameters())
    again.load_state_dict(rule.state_dict())
    said = {"a.b": torch.tensor([0.0]), "type": torch.tensor([4.0])}
    assert again(opinions(said)).item() == pytest.approx(3.0)


def test_a_stream_of_share_0_still_decides_where_it_is_alone() -> None:
    rule = build("regression", "stacking")
    rule.set_shares({"a": 1.0, "b": 0.0})
    said = {"a": torch.tensor([1.0, torch.nan]), "b": torch.tensor([5.0, 5.0])}
    joint = rule(opinions(said, present={"a": [True, False]}))
    torch.testing.assert_close(joint, torch.tensor([1.0, 5.0]), rtol=1e-4, atol=0)


def test_shares_of_other_streams_are_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="streams are"):
        build("regression", "stacking").set_shares({"a": 1.0})


def test_the_best_shares_of_numbers_are_inverse_variances() -> None:
    given, labels = rows_of("regression", 20000, {"a": 0.5, "b": 1.0, "c": 2.0})
    shares = fit_shares(build("regression", "stacking", "abc"), given, labels)
    precisions = np.array([4.0, 1.0, 0.25])
    np.testing.assert_allclose(list(shares.values()), precisions / precisions.sum(), atol=0.02)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_fitted_shares_are_those_scipy_finds(kind: str) -> None:
    """With streams absent here and there; the loss is written out."""
    given, labels = rows_of(kind, 300, {"a": 1.0, "b": 2.0, "c": 3.0}, seed=1)
    there = torch.rand(3, 300, generator=torch.Generator().manual_seed(2)) < 0.7
    given = {
        s: Opinion(torch.where(t.reshape(-1, *[1] * (o.output.ndim - 1)), o.output, torch.nan), o.features, t, o.weight)
        for (s, o), t in zip(given.items(), there, strict=True)
    }
    y, said, present = (
        labels.values["target"].numpy(),
        {s: o.output.double().numpy() for s, o in given.items()},
        there.numpy(),
    )

    def loss(logits: np.ndarray) -> float:
        shares = np.exp(logits - logits.max())
        total = 0.0
        for row in np.flatnonzero(present.any(axis=0)):
            weight = shares * present[:, row]
            weight /= weight.sum()
            heard = [(w, said[s][row]) for w, s in zip(weight, "abc", strict=True) if w > 0]
            if kind == "regression":
                total += (sum(w * z for w, z in heard) - y[row]) ** 2
            elif kind == "binary":
                total -= np.log(sum(w / (1 + np.exp(-z if y[row] else z)) for w, z in heard))
            else:
                total -= np.log(sum(w * np.exp(z[y[row]]) / np.exp(z).sum() for w, z in heard))
        return total / present.any(axis=0).sum()

    best = minimize(lambda free: loss(np.append(free, 0.0)), np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-4})
    expected = np.exp(np.append(best.x, 0.0))
    shares = fit_shares(build(kind, "stacking", "abc"), given, labels)
    np.testing.assert_allclose(list(shares.values()), expected / expected.sum(), atol=2e-3)


@EVERY_KIND
def test_a_useless_stream_gets_next_to_nothing(kind: str) -> None:
    given, labels = rows_of(kind, 2000, {"good": 0.3, "noise": 0.3})
    given["noise"] = Opinion(
        given["noise"].output.flip(0), *(getattr(given["noise"], n) for n in ("features", "present", "weight"))
    )
    shares = fit_shares(build(kind, "stacking", ["good", "noise"]), given, labels)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["good"] > 0.9


@EVERY_KIND
def test_fitting_repeats_and_leaves_the_rule_as_it_was(kind: str) -> None:
    given, labels = rows_of(kind, 200, {"a": 1.0, "b": 2.0})
    rule = build(kind, "stacking")
    before = {name: value.clone() for name, value in rule.state_dict().items()}
    first = fit_shares(rule, given, labels)
    assert first == fit_shares(rule, dict(reversed(given.items())), labels)
    assert all(torch.equal(value, before[name]) for name, value in rule.state_dict().items())


@EVERY_KIND
def test_a_stream_alone_has_all(kind: str) -> None:
    given, labels = rows_of(kind, 20, {"a": 1.0})
    rule = build(kind, "stacking", ["a"])
    shares = fit_shares(rule, given, labels)
    assert shares == {"a": 1.0}
    rule.set_shares(shares)
    torch.testing.assert_close(rule(given), given["a"].output)


def test_without_labels_shares_are_equal() -> None:
    given, labels = rows_of("regression", 5, {"a": 1.0, "b": 2.0})
    nothing = Cells(labels.values, torch.zeros(5, dtype=torch.bool))
    assert fit_shares(build("regression", "stacking"), given, nothing) == {"a": 0.5, "b": 0.5}


def test_only_stacking_has_shares_to_fit() -> None:
    given, labels = rows_of("regression", 5, {"a": 1.0, "b": 2.0})
    with pytest.raises(AssertionError, match="MeanOfNumbers has no shares"):
        fit_shares(build("regression", "mean"), given, labels)
    assert isinstance(build("regression", "stacking"), Stacking)
