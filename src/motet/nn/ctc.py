"""Connectionist temporal classification (Graves et al., ICML 2006): a label of which nobody knows the frames.

Each frame has one id. The label is what is left when runs of one id become one, then blanks (id 0) are taken out.
Shapes: B rows, T frames, V ids, the blank among them, L ids of a label.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from motet.nn.pooling import hide


def ctc_loss(
    logits: Float[Tensor, "B T V"], mask: Bool[Tensor, "B T"], labels: Int64[Tensor, "B L"]
) -> Float[Tensor, "B"]:
    """`-log p(label) / max(1, its length)` of each row, p summed over all alignments; labels are padded with -1.

    An empty label is that of silence. A label that does not fit into its frames (`ctc_fits`) has p = 0: the loss of
    such a row is 0, with gradient 0, as is that of a row without frames, whatever its logits are: to leave a row out,
    make its mask False. Deviation: the paper does not divide by the length.

    >>> two_frames = torch.ones(1, 2, dtype=torch.bool)
    >>> ctc_loss(torch.zeros(1, 2, 3), two_frames, torch.tensor([[2]]))  # 3 of 9 alignments: 02, 20, 22
    tensor([1.0986])
    """
    counted = mask.any(dim=1) & ctc_fits(mask, labels)
    logits, mask = frames_first(hide(logits, mask & counted[:, None]), mask)
    if not mask.shape[1]:
        return logits.sum(dim=(1, 2))
    log_probability = logits.log_softmax(2, dtype=torch.promote_types(logits.dtype, torch.float32))
    lengths = (labels >= 0).sum(1) * counted
    targets = F.pad(labels.clamp(min=0), (0, 1))  # torch does not take a label of no columns
    frames = mask.sum(1).clamp(min=1)
    loss = F.ctc_loss(log_probability.transpose(0, 1), targets, frames, lengths, reduction="none")
    return torch.where(counted, loss / lengths.clamp(min=1), 0.0)


def ctc_fits(mask: Bool[Tensor, "B T"], labels: Int64[Tensor, "B L"]) -> Bool[Tensor, "B"]:
    """Whether there is a frame for each id of the label, and one for the blank between an id and the same id again.

    >>> ctc_fits(torch.ones(2, 2, dtype=torch.bool), torch.tensor([[1, 2], [1, 1]]))
    tensor([ True, False])
    """
    again = (labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] >= 0)
    return mask.sum(1) >= (labels >= 0).sum(1) + again.sum(1)


def ctc_best_path(log_probability: Float[Tensor, "B T V"], mask: Bool[Tensor, "B T"]) -> Int64[Tensor, "B L"]:
    """The label of the likeliest id of every frame, padded with -1; not always the likeliest label.

    >>> log_probability = torch.eye(3)[torch.tensor([[0, 2, 2, 0, 2, 1]])].log()
    >>> ctc_best_path(log_probability, torch.ones(1, 6, dtype=torch.bool))
    tensor([[2, 2, 1]])
    """
    ids, mask = frames_first(log_probability.argmax(dim=2), mask)
    begins = F.pad(ids[:, 1:] != ids[:, :-1], (1, 0), value=True)
    return padded(ids, mask & begins & (ids != 0))


def frames_first(values: Shaped[Tensor, "B T *V"], mask: Bool[Tensor, "B T"]) -> tuple[Tensor, Tensor]:
    """The same with what the mask hides behind the rest, columns that it hides in every row left out.

    >>> frames_first(torch.tensor([[7, 8, 9, 9]]), torch.tensor([[False, True, True, False]]))
    (tensor([[8, 9]]), tensor([[True, True]]))
    """
    order = (~mask).byte().argsort(dim=1, stable=True)[:, : int(mask.sum(1).max()) if len(mask) else 0]
    beside = order.view(*order.shape, *[1] * (values.ndim - 2)).expand(-1, -1, *values.shape[2:])
    return values.gather(1, beside), mask.gather(1, order)


def padded(ids: Int64[Tensor, "B T"], kept: Bool[Tensor, "B T"]) -> Int64[Tensor, "B L"]:
    """Those that are kept, with -1 behind them.

    >>> padded(torch.tensor([[5, 6, 7], [8, 9, 9]]), torch.tensor([[True, False, True], [False, True, False]]))
    tensor([[ 5,  7],
            [ 9, -1]])
    """
    ids, kept = frames_first(ids, kept)
    return ids.where(kept, -1)
