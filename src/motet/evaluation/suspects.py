"""Labels that are likely wrong: rows whose label the model, which was not trained on them, confidently contradicts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from motet.core.checks import text_of
from motet.tasks import Codec
from motet.tasks.classes import ClassCodec

MOST = 20


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row where it stands, and what it is labelled; `probability` is that of `answer`, `margin` that of the label
    minus it.
    """

    row: str
    label: str
    answer: str
    probability: float
    margin: float


def suspects(
    codec: Codec, output: Tensor, target: Tensor, *, most: int = MOST, place: Callable[[int], str] = str
) -> tuple[Suspect, ...]:
    """The most suspicious of N labelled held-out rows first; empty for kinds that do not answer with one label.

    Confident learning (Northcutt, Jiang & Chuang, JAIR 2021): a row counts as confidently of class k where p_k is at
    least the mean of p_k over the rows that are labelled k; of several such classes as of the likeliest. Rows that so
    are of another class than their label are suspects, by rising margin p_label - p_k. Unlike there nothing is trained
    again on folds: the rows scored were not trained on. A class without a row here has no such mean, and is none.
    Nor is a row suspected whose class k is not what the model answers, or has less than half the probability; and none
    at all by a model that is not clearly right more often than who always says the commonest label (by two standard
    errors).

    >>> from motet.tasks import Binary
    >>> codec = Binary().fit(["no", "yes"])
    >>> logits, labels = torch.tensor([3.0, 3.0, -3.0] * 5 + [4.0]), torch.tensor([1.0, 1.0, 0.0] * 5 + [0.0])
    >>> [one.row for one in suspects(codec, logits, labels)]
    ['15']
    """
    if not isinstance(codec, ClassCodec) or not bool(output.isfinite().all()):
        return ()
    rows = (target.cpu().long() >= 0).nonzero()[:, 0]
    probability, label = codec.probabilities(output)[rows], target.cpu().long()[rows]
    answered = codec.answered(output)[rows]
    if not _knows(answered == label, label):
        return ()
    labelled = label[:, None] == torch.arange(probability.shape[1])
    threshold = (probability * labelled).sum(0) / labelled.sum(0)  # NaN of a class without a row: nothing reaches it
    sure, answer = torch.where(probability >= threshold, probability, -1.0).max(1)
    margin = probability.gather(1, label[:, None])[:, 0] - sure
    suspicious = ((sure >= 0.5) & (answer != label) & (answer == answered)).nonzero()[:, 0]
    order = suspicious[margin[suspicious].argsort(stable=True)][:most].tolist()
    names = [text_of(one) for one in codec.known]
    return tuple(
        Suspect(place(int(rows[i])), names[int(label[i])], names[int(answer[i])], float(sure[i]), float(margin[i]))
        for i in order
    )


def _knows(right: Tensor, label: Tensor) -> bool:
    """Whether the answers are clearly right more often than the commonest label would be."""
    if not len(right):
        return False
    share = float(right.double().mean())
    error = (share * (1 - share) / len(right)) ** 0.5
    return bool(share - 2 * error > float(label.bincount().max()) / len(label))
