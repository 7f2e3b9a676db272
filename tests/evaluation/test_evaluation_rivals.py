"""Models to beat: the features they see, and what they say, beside scikit-learn on the same rows."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import Ridge

from motet.core.flow import Cells
from motet.evaluation.rivals import NoRival, has_rivals, linear_model, tree_model
from motet.evaluation.simple import FIELDS, MOST_IDS, Simple, joined, simple_features, stacked
from motet.tasks import Binary, Codec, Count, Multiclass, Multilabel, Ordinal, Regression

ROWS = 300
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((ROWS, 3)).astype(np.float32)
NUMBERS = Simple(X, None)
TRUE = torch.from_numpy((X[:, 0] + 0.2 * RANDOM.standard_normal(ROWS) > 0).astype(np.float32))


def everywhere(**values: torch.Tensor) -> Cells:
    (first, *_) = values.values()
    return Cells(values, torch.ones(len(first), dtype=torch.bool))


def test_numbers_are_as_they_are_and_absent_rows_are_zeros() -> None:
    cells = Cells({"features": torch.tensor([[1.0, 2.0], [5.0, float("nan")]])}, torch.tensor([True, False]))
    assert simple_features(cells).numbers.tolist() == [[1.0, 1.0, 2.0], [0.0, 0.0, 0.0]]


def test_sequences_are_told_by_mean_deviation_least_and_greatest_of_what_is_there() -> None:
    steps = torch.tensor([[[1.0], [3.0], [99.0]]])
    found = simple_features(everywhere(steps=steps, mask=torch.tensor([[True, True, False]])))
    assert found.numbers.tolist() == [[1.0, 2.0, 1.0, 1.0, 3.0]]


def test_pictures_are_told_by_means_of_fields() -> None:
    pixels = RANDOM.standard_normal((2, 1, 2 * FIELDS, FIELDS)).astype(np.float32)
    found = simple_features(everywhere(pixels=torch.from_numpy(pixels))).numbers[:, 1:]
    wanted = pixels.reshape(2, FIELDS, 2, FIELDS).mean(axis=2).reshape(2, -1)
    assert np.allclose(found, wanted, atol=1e-6)


def test_clips_are_told_by_how_their_fields_change() -> None:
    clips = torch.rand(2, 3, 1, 4, 4)
    there = torch.tensor([[True, True, True], [True, False, False]])
    found = simple_features(everywhere(pixels=clips, there=there)).numbers
    assert found.shape == (2, 1 + 4 * 16)
    assert np.allclose(found[1, 1 + 16 : 1 + 32], 0), "one frame does not change"


def test_whole_numbers_are_counted_where_they_are_there() -> None:
    ids = torch.tensor([[4, 4, 7], [7, 0, 0]])
    counts = simple_features(everywhere(ids=ids, mask=torch.tensor([[True, True, True], [True, False, False]]))).counts
    assert counts is not None
    assert counts.shape == (2, MOST_IDS)
    assert counts[:, [0, 4, 7]].toarray().tolist() == [[0, 2, 1], [0, 0, 1]]


def test_batches_and_inputs_are_put_together() -> None:
    one = Simple(X[:2], sparse.csr_matrix(np.eye(2, dtype=np.float32)))
    assert stacked([one, one]).numbers.shape == (4, 3)
    both = joined([one, Simple(X[:2], None), one])
    assert both.numbers.shape == (2, 9)
    assert both.counts is not None
    assert both.counts.toarray().tolist() == [[1, 0, 1, 0], [0, 1, 0, 1]]


def test_ridge_regression_is_that_of_scikit_learn_on_standardised_features() -> None:
    y = torch.from_numpy(X @ [1.0, -2.0, 0.0]).float()
    said = linear_model(Regression().fit([0.0, 1.0, 2.0]), NUMBERS, y, strength=1.0)(NUMBERS)
    z = (X - X.mean(0)) / X.std(0)
    assert np.allclose(said, Ridge(alpha=10).fit(z, y.numpy()).predict(z), atol=1e-4)


def targets() -> dict[str, tuple[Codec, torch.Tensor]]:
    counts = RANDOM.poisson(np.exp(1 + X[:, 0]))
    count = Count().fit(counts.tolist())
    three = (torch.from_numpy(X[:, 0]) > 0).long() + (torch.from_numpy(X[:, 0]) > 1).long()
    return {
        "binary": (Binary().fit(["no", "yes"]), TRUE),
        "multiclass": (Multiclass().fit(["a", "b", "c"]), three),
        "ordinal": (Ordinal().fit(["1", "2", "3"]), three),
        "multilabel": (Multilabel().fit(["a|b", "b"]), torch.stack([TRUE, 1 - TRUE], dim=1)),
        "regression": (Regression().fit([0.0, 1.0]), torch.from_numpy(X[:, 0])),
        "quantile": (Regression(error="quantile").fit([0.0, 1.0]), torch.from_numpy(X[:, 0])),
        "gaussian": (Regression(error="gaussian").fit([0.0, 1.0]), torch.from_numpy(X[:, 0])),
        "several": (Regression(columns=("a", "b")).fit([[0, 0], [2, 20]]), torch.from_numpy(X[:, :2])),
        "count": (count, torch.from_numpy(counts / count.scale).float()),
    }


@pytest.mark.parametrize("kind", targets())
@pytest.mark.parametrize("rival", ["linear", "trees"])
def test_what_features_decide_is_learned(kind: str, rival: str) -> None:
    codec, target = targets()[kind]
    assert has_rivals(codec)
    fit = (
        linear_model(codec, NUMBERS, target, strength=1.0)
        if rival == "linear"
        else tree_model(codec, NUMBERS, target, seed=0)
    )
    metric = codec.metrics()[0]
    assert metric.compute(fit(NUMBERS), target) > 0.6
    shuffled = Simple(X[np.random.default_rng(1).permutation(ROWS)], None)
    assert metric.compute(fit(shuffled), target) < 0.6


def test_a_class_that_training_rows_lack_is_nearly_impossible() -> None:
    codec = Multiclass().fit(["a", "b", "c"])
    said = linear_model(codec, NUMBERS, 2 * TRUE.long(), strength=1.0)(NUMBERS)
    assert said.shape == (ROWS, 3)
    assert float(said[:, 1].exp().max()) < 1e-5


def test_trees_see_what_is_counted_and_refuse_what_is_no_table() -> None:
    codec = Binary().fit(["no", "yes"])
    counted = Simple(np.zeros((ROWS, 1), dtype=np.float32), sparse.csr_matrix(TRUE.numpy()[:, None]))
    assert codec.metrics()[0].compute(tree_model(codec, counted, TRUE, seed=0)(counted), TRUE) == 1.0
    with pytest.raises(NoRival):
        tree_model(codec, Simple(np.zeros((ROWS, 1000), dtype=np.float32), None), TRUE, seed=0)


def test_what_can_not_be_fitted_is_said_or_constant() -> None:
    """One class, one row of a class among many, counts of nothing, no words: none of them is a fault."""
    many = Simple(np.random.default_rng(0).standard_normal((11_000, 1)).astype(np.float32), None)
    rare = torch.zeros(11_000)
    rare[5] = 1
    assert tree_model(Binary().fit(["no", "yes"]), many, rare, seed=0)(many).shape == (11_000,)
    with pytest.raises(NoRival, match="one class"):
        linear_model(Multiclass().fit(["a", "b"]), NUMBERS, torch.zeros(ROWS).long(), strength=1.0)
    nothing = tree_model(Count().fit([0, 1]), NUMBERS, torch.zeros(ROWS), seed=0)(NUMBERS)
    assert len(set(nothing.tolist())) == 1
    wordless = Simple(X, sparse.csr_matrix((ROWS, 5), dtype=np.float32))
    assert linear_model(Binary().fit(["no", "yes"]), wordless, TRUE, strength=1.0)(wordless).shape == (ROWS,)


def test_rows_count_by_their_weights() -> None:
    codec, weights = Regression().fit([0.0, 1.0]), np.zeros(ROWS, dtype=np.float32)
    weights[: ROWS // 2] = 1.0
    y = torch.from_numpy(X[:, 0]).clone()
    y[ROWS // 2 :] = -y[ROWS // 2 :]
    said = linear_model(codec, NUMBERS, y, weights, strength=1.0)(NUMBERS)
    assert float(np.corrcoef(said, X[:, 0])[0, 1]) > 0.99
    assert float(said.std()) > 0.8
    assert float(linear_model(codec, NUMBERS, y, strength=1.0)(NUMBERS).std()) < 0.4, "both halves cancel"


def test_many_classes_leave_the_rarest_words_out() -> None:
    rows = sparse.random(ROWS, 4000, density=0.02, random_state=0, format="csr", dtype=np.float32)
    codec = Multiclass().fit(2 * [str(number) for number in range(300)])
    features = Simple(X, rows)
    answer = linear_model(codec, features, torch.arange(ROWS) % 300, strength=100.0)
    assert answer(features).shape == (ROWS, 300)
