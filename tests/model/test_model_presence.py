"""An encoder that is called in every batch, as where its weights are divided: without the input, to give nothing."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from motet.core.flow import Cells, Tokens
from motet.inputs.base import Encoder, single_token
from motet.model.presence import PresentOnly
from motet.model.share import Borrowed


class OfLogarithms(Encoder):
    """Has no finite value for a row of zeros, and no finite gradient."""

    output_width = 3

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 3)
        self.size = nn.Parameter(torch.tensor(torch.inf))

    def forward(self, values: Mapping[str, Tensor]) -> Tokens:
        return single_token(self.linear(values["x"].log()) / self.size)


def of_nobody() -> Cells:
    return Cells({"x": torch.full((4, 2), torch.nan)}, torch.zeros(4, dtype=torch.bool))


@pytest.mark.parametrize("borrowed", [False, True])
def test_without_the_input_what_is_called_gives_0_with_gradients_of_0(borrowed: bool) -> None:
    owner, calls = OfLogarithms(), []
    owner.register_forward_hook(lambda *call: calls.append(call))
    encoder = PresentOnly(Borrowed(owner, name="other") if borrowed else owner)
    encoder.always = True
    tokens = encoder(of_nobody())
    assert len(calls) == 1
    assert torch.equal(tokens.values, torch.zeros(4, 1, 3))
    (tokens.values * torch.tensor([1.0, torch.inf, 2.0])).sum().backward()
    assert encoder.absent.grad is not None
    assert encoder.absent.grad.tolist() == [4.0, torch.inf, 8.0]
    for weight in owner.parameters():
        assert weight.grad is not None
        assert not weight.grad.any()


def test_afterwards_it_encodes_as_before() -> None:
    encoder = PresentOnly(OfLogarithms())
    given = Cells({"x": torch.rand(4, 2) + 1}, torch.ones(4, dtype=torch.bool))
    encoder.encoder.size.data.fill_(2.0)
    before = encoder(given).values
    encoder.always = True
    encoder(of_nobody())
    assert torch.equal(encoder(given).values, before)


def test_an_encoder_that_learns_nothing_is_called_as_well() -> None:
    class Zero(Encoder):
        output_width = 3

        def forward(self, values: Mapping[str, Tensor]) -> Tokens:
            return single_token(torch.zeros(len(values["x"]), 3))

    encoder = PresentOnly(Zero())
    encoder.always = True
    assert torch.equal(encoder(of_nobody()).values, torch.zeros(4, 1, 3))
