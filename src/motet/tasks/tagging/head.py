"""A tag for each word. Shapes: B rows, T tokens, D width of the features, d of the tokens, L words, C tags."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from motet.core.flow import Cells, Tokens
from motet.nn.crf import LinearChain
from motet.tasks.part import PartHead, Reading
from motet.tasks.tagging.codec import ABSENT, NOTHING


class TaggingHead(PartHead):
    """The first token of each word and the row's features -> logits of its tags.

        z_w = W x_w + V f + b        for word w, with x_w its first token, which has seen the others, f the features

    With `chained` each tag depends on the one before too (see `LinearChain`); a text has `chained` words at most.

    >>> head = TaggingHead(input="note", source_width=6, input_width=4, num_tags=3)
    >>> there, word = torch.ones(1, 4, dtype=torch.bool), torch.tensor([[-1, 0, 0, 1]])
    >>> tokens = Tokens(torch.zeros(1, 4, 6), there, there[:, 0], word)
    >>> head.answer(Reading(torch.zeros(1, 4), {"note": tokens})) >= 0
    tensor([[ True,  True, False, False]])
    """

    def __init__(
        self,
        *,
        input: str,
        source_width: int,
        input_width: int,
        num_tags: int,
        mean_words: float = 1.0,
        chained: int | None = None,
    ) -> None:
        super().__init__()
        self.input, self.mean_words = input, mean_words
        self.chain = None if chained is None else LinearChain(num_tags, longest=chained)
        self.words = nn.Linear(source_width, num_tags)
        self.features = nn.Linear(input_width, num_tags, bias=False)
        with torch.no_grad():
            self.words.weight.mul_(0.1)
            self.features.weight.mul_(0.1)

    def forward(self, reading: Reading, target: Cells) -> Float[Tensor, "B"]:
        """The loss of each row, -log p(y) / `mean_words` with y the tags of its labelled words: p is the product of
        softmax(z_w)_{y_w} or, where they are chained, as the chain has it.

        A word behind the place where the text was cut off, and one with a tag that is not known, has no label.
        """
        logits, there = self._logits(reading)
        labels = _as_long(target.values["target"], logits.shape[1])
        if self.chain is not None:
            loss: Tensor = self.chain(logits, there, labels)
        else:
            each = F.cross_entropy(logits.flatten(0, 1), labels.clamp(min=0).flatten(), reduction="none")
            loss = torch.where(there & (labels >= 0), each.view_as(there), 0.0).sum(dim=1)
        return loss / self.mean_words

    @torch.no_grad()
    def answer(self, reading: Reading) -> Int64[Tensor, "B T"]:
        """The likeliest tag of each word, or where they are chained the likeliest tags of all."""
        logits, there = self._logits(reading)
        best = logits.argmax(dim=2) if self.chain is None else self.chain.best(logits, there)
        said = torch.where(there, best, NOTHING)
        first = torch.arange(said.shape[1], device=said.device) == 0
        present = reading.tokens[self.input].present
        return torch.where(present[:, None], said, torch.where(first, ABSENT, NOTHING))

    def start_from(self, prior: Float[Tensor, "C"]) -> None:
        """Take the prior as the bias."""
        with torch.no_grad():
            self.words.bias.copy_(prior)

    def _logits(self, reading: Reading) -> tuple[Float[Tensor, "B T C"], Bool[Tensor, "B T"]]:
        """Logits for as many words as there are tokens, and which of the words there are."""
        words, there = first_tokens(reading.tokens[self.input])
        logits = self.words(words) + self.features(reading.features)[:, None]
        return logits.float(), there


def first_tokens(tokens: Tokens) -> tuple[Float[Tensor, "B T d"], Bool[Tensor, "B T"]]:
    """The first token of each word, in the order of words, and which words there are; zeros for the others.

    Words are no more than tokens, so there are as many places: a graph is the same whatever the words.

    >>> values, word = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]]), torch.tensor([[-1, 0, 0, 1]])
    >>> there = torch.ones(1, 4, dtype=torch.bool)
    >>> first_tokens(Tokens(values, there, there[:, 0], word))[0].squeeze()
    tensor([2., 4., 0., 0.])
    """
    assert tokens.word is not None, "tokens without words"
    word, length = tokens.word, tokens.word.shape[1]
    first = (word >= 0) & (word != F.pad(word, (1, 0), value=-1)[:, :-1])
    place = torch.arange(length, device=word.device).expand_as(word)
    nowhere = torch.full_like(word, length)
    places = word.new_zeros(word.shape[0], length + 1).scatter(1, torch.where(first, word, nowhere), place)[:, :length]
    there = place < first.sum(dim=1, keepdim=True)
    values = tokens.values.gather(1, places[:, :, None].expand(-1, -1, tokens.values.shape[2]))
    return torch.where(there[:, :, None], values, 0.0), there


def _as_long(labels: Int64[Tensor, "B L"], length: int) -> Int64[Tensor, "B T"]:
    """Cut off, or padded, to this many words."""
    return F.pad(labels, (0, max(0, length - labels.shape[1])), value=NOTHING)[:, :length]
