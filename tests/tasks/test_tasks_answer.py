import pytest
import torch

from motet.core.errors import SpecError
from motet.tasks import LinearHead, Regression
from motet.tasks.answer import AnswerHead


def test_the_features_are_the_answer() -> None:
    head = AnswerHead(1)
    features = torch.tensor([[2.0], [-3.0]], requires_grad=True)
    output = head(features)
    assert output.tolist() == [2.0, -3.0]
    output.sum().backward()
    assert features.grad is not None
    assert features.grad.tolist() == [[1.0], [1.0]]
    assert list(head.parameters()) == []


def test_it_has_no_start_of_its_own() -> None:
    head = AnswerHead(1)
    head.start_from(torch.tensor(5.0))
    assert head(torch.zeros(1, 1)).item() == 0.0


def test_the_spec_builds_it_and_refuses_wide_features() -> None:
    spec = Regression(head="none")
    codec = spec.fit([1.0, 2.0])
    assert isinstance(spec.build(codec, 1), AnswerHead)
    assert isinstance(Regression().build(codec, 1), LinearHead)
    with pytest.raises(SpecError, match=r"width 1, found 8; set sharing.branch: 1"):
        spec.build(codec, 8)
