"""The throttle that does nothing."""

import torch

from motet.balance import NoThrottle
from motet.core.flow import Tokens


def test_none_is_the_identity_forward_and_back() -> None:
    present = torch.ones(2, dtype=torch.bool)
    values = torch.randn(2, 1, 3, requires_grad=True)
    tokens = {"photo": Tokens(values, present[:, None], present)}
    throttle = NoThrottle().build(["photo"])
    passed = throttle(tokens)
    assert passed["photo"] is tokens["photo"]
    assert not list(throttle.parameters())
