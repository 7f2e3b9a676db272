"""Connectionist temporal classification over the tokens of a sound.

B rows, T tokens, V symbols and the blank, L symbols of a label.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from motet.core.errors import SpecError
from motet.core.flow import Cells
from motet.nn import BidirectionalGRU, Dropout, ctc_loss, ctc_prefix_search, hide
from motet.tasks.part import PartHead, Reading
from motet.tasks.transcription.codec import ABSENT, PADDING


class TranscriptionHead(PartHead):
    """Tokens of a sound and the row's features -> recurrent layers -> a symbol or the blank for each token.

        z_t = W GRU(P x_t + Q f)_t + b        over t, with x_t the tokens, f the row's features

    >>> from motet.core.flow import Tokens
    >>> head = TranscriptionHead(input="speech", source_width=6, input_width=4, num_symbols=10, width=8, layers=1)
    >>> tokens = Tokens(torch.zeros(2, 5, 6), torch.ones(2, 5, dtype=torch.bool), torch.ones(2, dtype=torch.bool))
    >>> head.answer(Reading(torch.zeros(2, 4), {"speech": tokens})).shape[0]
    2
    """

    def __init__(
        self,
        *,
        input: str,
        source_width: int,
        input_width: int,
        num_symbols: int,
        width: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
        beam: int = 8,
    ) -> None:
        super().__init__()
        self.input, self.beam = input, beam
        self.tokens = nn.Linear(source_width, width)
        self.features = nn.Linear(input_width, width)
        self.layers = nn.ModuleList(BidirectionalGRU(width, width=width) for _ in range(layers))
        self.dropout = nn.ModuleList(Dropout(dropout) for _ in range(layers))
        self.symbols = nn.Linear(width, num_symbols + 1)

    def forward(self, reading: Reading, target: Cells) -> Float[Tensor, "B"]:
        """The loss of each row: `-log p(label) / L`, p summed over all ways to say it in T tokens (`ctc_loss`).

        A label that can not be written costs nothing: one with more symbols than tokens, or one never seen in fitting.
        """
        labels = target.values["target"]
        known = (labels < self.symbols.out_features).all(dim=1, keepdim=True)
        logits, mask = self._logits(reading)
        return ctc_loss(logits, mask & known, labels)

    @torch.no_grad()
    def answer(self, reading: Reading) -> Int64[Tensor, "B L"]:
        """The likeliest symbols that a beam search finds."""
        if torch.compiler.is_compiling():
            raise SpecError(
                "a task that transcribes can not be exported: it searches symbol by symbol, which no graph of fixed "
                "operations does; export a model without it"
            )
        logits, mask = self._logits(reading)
        found = ctc_prefix_search(logits.log_softmax(dim=2), mask, width=self.beam)
        nothing = torch.full((found.shape[0], 1), PADDING, device=found.device)
        said = torch.cat([found, nothing], dim=1)
        absent = torch.where(torch.arange(said.shape[1], device=said.device) == 0, ABSENT, PADDING)
        return torch.where(reading.tokens[self.input].present[:, None], said, absent)

    def start_from(self, prior: Tensor) -> None:
        """The symbols by their frequency, the blank as likely as all of them."""
        with torch.no_grad():
            self.symbols.bias.copy_(torch.cat([prior.new_zeros(1), prior]))

    def _logits(self, reading: Reading) -> tuple[Float[Tensor, "B T V+1"], Bool[Tensor, "B T"]]:
        """For every token, and which there are: none that stands for an absent sound."""
        tokens = reading.tokens[self.input]
        mask = tokens.mask & tokens.present[:, None]
        x = self.tokens(hide(tokens.values, mask)) + self.features(reading.features)[:, None]
        for layer, dropout in zip(self.layers, self.dropout, strict=True):
            x = dropout(layer(x, mask))
        return self.symbols(x), mask
