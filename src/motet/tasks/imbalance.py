"""What is done about labels of which some are rare: weights of classes, focal loss, label smoothing.

C classes. Tasks that decide about rows and tasks that decide about their parts use the same.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from pydantic import BeforeValidator, Field
from torch import Tensor

from motet.core.checks import did_you_mean, text_of
from motet.core.errors import SpecError
from motet.tasks.labels import NO, YES, Label


def _by_text(given: Any) -> Any:
    return {text_of(label): weight for label, weight in given.items()} if isinstance(given, Mapping) else given


ClassWeights = Annotated[
    Annotated[Literal["balanced", "root"] | dict[str, Annotated[float, Field(gt=0)]] | None, BeforeValidator(_by_text)],
    Field(
        description="How much a label counts in the loss: numbers by label, 1 for one that is not named; balanced: in "
        "inverse proportion to how often it occurs; root: to the square root of that, which is milder."
    ),
]
_POWERS = {"balanced": 1.0, "root": 0.5}
Focal = Annotated[
    float,
    Field(
        ge=0,
        description="How much less a label counts that the model is sure of, by the factor (1 - p)^focal; 0: no less.",
    ),
]
Smoothing = Annotated[
    float,
    Field(
        ge=0, lt=1, description="How much of every label is shared out among all labels, so that no logit runs away."
    ),
]


def weights_of(given: ClassWeights, counts: Mapping[Label, int]) -> tuple[float, ...] | None:
    """The weight of each label of these counts, in their order; None where all weigh 1.

    Balanced they are `n / (C n_c)`, n labels of which n_c are c, so that their mean over the n labels is 1; root, so
    that it is 1 too, `n / (n_c^(1/2) sum_k n_k^(1/2))`. Raises `SpecError` for a label that does not occur.

    >>> weights_of({"yes": 5.0}, {"no": 3, "yes": 1}), weights_of("balanced", {"a": 1, "b": 1, "c": 4})
    ((1.0, 5.0), (2.0, 2.0, 0.5))
    """
    if given is None:
        return None
    if isinstance(given, str):
        return by_rarity(given, list(counts.values()))
    texts = [text_of(label) for label in counts]
    found = {_meant(name, texts): weight for name, weight in given.items()}
    return tuple(found.get(text, 1.0) for text in texts)


def by_rarity(how: str, counts: Sequence[int]) -> tuple[float, ...]:
    """The weight of each class of these counts, balanced or root; a class that never occurs weighs 1."""
    power = _POWERS[how]
    whole = sum(counts) / sum(count ** (1 - power) for count in counts if count)
    return tuple(whole / count**power if count else 1.0 for count in counts)


def weights_at(weights: Sequence[float], label: np.ndarray) -> Tensor:
    """The weight of each label number, float32; 1 for a number below 0, which is no label."""
    found = np.asarray(weights, dtype=np.float32)[np.maximum(label, 0).astype(np.int64)]
    return torch.from_numpy(np.where(label < 0, np.float32(1), found))


def cross_entropy(
    logits: Float[Tensor, "*rest C"], label: Int64[Tensor, "*rest"], *, focal: float = 0.0, smoothing: float = 0.0
) -> Float[Tensor, "*rest"]:
    """`(1 - p_y)^g * -sum_c q_c log p_c` with p = softmax(z), label y, `q_c = (1 - s) [c = y] + s / C`.

    focal g: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, for classes instead of two; their weight of a
    class is that of `weights_of`. smoothing s: Szegedy et al., Rethinking the Inception Architecture, CVPR 2016. With
    both, the factor is that of the label, and multiplies the smoothed cross-entropy.

    >>> cross_entropy(torch.zeros(1, 2), torch.tensor([1]), focal=1.0)  # log 2 / 2
    tensor([0.3466])
    """
    flat, labels = logits.reshape(-1, logits.shape[-1]), label.reshape(-1)
    loss = F.cross_entropy(flat, labels, reduction="none", label_smoothing=smoothing)
    if focal:
        others = torch.ones_like(flat, dtype=torch.bool).scatter(1, labels[:, None], False)
        doubt = torch.where(others, flat, NOT_THERE).logsumexp(1) - flat.logsumexp(1)  # log(1 - p_y)
        loss = (focal * doubt).exp() * loss
    return loss.reshape(label.shape)


def binary_cross_entropy(
    logit: Float[Tensor, "*rest"], label: Float[Tensor, "*rest"], *, focal: float = 0.0, smoothing: float = 0.0
) -> Float[Tensor, "*rest"]:
    """The same of two classes, of which one logit decides: z for yes (label 1), 0 for no.

    >>> binary_cross_entropy(torch.zeros(1), torch.ones(1), focal=2.0)  # log 2 / 4
    tensor([0.1733])
    """
    smooth = label * (1 - smoothing) + smoothing / 2 if smoothing else label
    loss = F.binary_cross_entropy_with_logits(logit, smooth, reduction="none")
    if focal:
        doubt = F.logsigmoid(logit * (1 - 2 * label))
        loss = (focal * doubt).exp() * loss
    return loss


NOT_THERE = -1e30


def _meant(name: str, texts: Sequence[str]) -> str:
    """The label of this name. YAML reads a bare yes or no as a truth value, which stands for the one such word."""
    if name in texts:
        return name
    words = {"true": YES, "false": NO}.get(name, frozenset())
    alike = [text for text in texts if text.lower() in words]
    if len(alike) == 1:
        return alike[0]
    raise SpecError(f"class_weights: no training row has the label {name!r}{did_you_mean(name, texts)}")
