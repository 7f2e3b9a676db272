"""What the report shows of a task beyond its scores: where it errs, how sure it is, its worst rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor

from motet.core.checks import text_of
from motet.core.seed import generator
from motet.evaluation.figure import figure, percent
from motet.evaluation.interval import Floats
from motet.evaluation.numbers import NUMBERS, numbers_of
from motet.evaluation.pixels import PIXELS, painted, pixels_of, some_of
from motet.tasks import BinaryCodec, Codec, MulticlassCodec, MultilabelCodec, OrdinalCodec, SeveralCodec
from motet.tasks.metrics import f1_scores
from motet.tasks.ordinal import median_level

MOST_CLASSES = 12
MOST_POINTS = 400
SHOWN = (BinaryCodec, MulticlassCodec, MultilabelCodec, OrdinalCodec, *NUMBERS)


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell as a person sees it: `content` is text, or a picture or sound as a data URI; `saliency` what of it spoke
    for the answer: pieces of a text with weights from -1 to 1, or a picture of where, as a data URI.
    """

    input: str
    kind: Literal["text", "picture", "sound"]
    content: str
    saliency: Sequence[tuple[str, float]] | str | None = None


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row answered badly; `row` is where it stands, `contributions` what each present input added to the answer."""

    row: str
    truth: str
    answer: str
    probability: float | None
    cells: Sequence[Shown]
    contributions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Confusion:
    """`counts[truth][answer]`; the rarest of many classes are together in the last, "others"."""

    labels: Sequence[str]
    counts: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows answered with about this probability, and how often they were right."""

    confidence: float
    accuracy: float
    rows: int


@dataclass(frozen=True, slots=True)
class LabelScore:
    """One label of a multilabel task: in how many rows it is true, and its F1 (NaN where it does not exist)."""

    label: str
    rows: int
    f1: float


@dataclass(frozen=True, slots=True)
class Scatter:
    """Truth and answer of a sample of rows, in the user's units, and half the width of the interval if there is one."""

    truth: Sequence[float]
    answer: Sequence[float]
    half_width: float | None


@dataclass(frozen=True, slots=True)
class Details:
    """Whatever of this there is for the kind of task; the worst mistakes first."""

    confusion: Confusion | None = None
    reliability: Sequence[Bin] = ()
    labels: Sequence[LabelScore] = ()
    scatter: Scatter | None = None
    mistakes: Sequence[Mistake] = ()


def details_of(
    codec: Codec,
    output: Tensor,
    target: Tensor,
    rows: Sequence[int],
    *,
    seed: int = 0,
    num_mistakes: int = 8,
    place: Callable[[int], str] = str,
    show: Callable[[int], Sequence[Shown]] = lambda row: (),
) -> Details:
    """Details of N labelled rows; `rows` are their numbers, which `place` names and `show` turns into cells to look at.

    >>> import torch
    >>> from motet.tasks import Binary
    >>> codec = Binary().fit(["no", "yes"])
    >>> details = details_of(codec, torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0]), [7, 8])
    >>> details.confusion.counts, details.mistakes[0].row
    (((0, 1), (0, 1)), '8')
    """
    if isinstance(codec, PIXELS) and len(rows):
        return _of_pixels(codec, output, target, seed, num_mistakes, lambda i: place(rows[i]), lambda i: show(rows[i]))
    if not isinstance(codec, SHOWN):
        return Details()
    if isinstance(codec, MulticlassCodec | OrdinalCodec):  # a label never trained on has no place in the pictures
        known = (target >= 0).cpu()
        output, target = output[known], target[known]
        rows = [row for row, keep in zip(rows, known.tolist(), strict=True) if keep]
    values, truth = output.detach().double().cpu().numpy(), target.detach().cpu().numpy()
    answers = codec.decode(output)
    labels = codec.decode(codec.certain(target))[""]

    def mistakes(badness: Floats) -> tuple[Mistake, ...]:
        worst = [i for i in np.argsort(-badness, kind="stable")[:num_mistakes] if badness[i] > 0]
        return tuple(
            Mistake(
                row=place(rows[i]),
                truth=_text(codec, labels[i]),
                answer=_text(codec, answers[""][i]),
                probability=_probability(codec, answers, i),
                cells=tuple(show(rows[i])),
            )
            for i in worst
        )

    if len(truth) == 0 or not np.isfinite(values).all():
        return Details()
    if isinstance(codec, BinaryCodec):
        two = np.stack([np.zeros_like(values), values / codec.temperature], -1)
        names = [text_of(codec.negative), text_of(codec.positive)]
        return _of_classes(two, truth.astype(np.int64), names, mistakes)
    if isinstance(codec, MulticlassCodec):
        return _of_classes(values / codec.temperature, truth, [text_of(label) for label in codec.classes], mistakes)
    if isinstance(codec, OrdinalCodec):
        return _of_classes(values, truth, [text_of(label) for label in codec.classes], mistakes, ordered=True)
    if isinstance(codec, MultilabelCodec):
        return _of_labels(values / codec.temperature, truth, [text_of(label) for label in codec.labels], mistakes)
    if isinstance(codec, NUMBERS):
        found = numbers_of(codec, labels, answers[""])
        sample = np.sort(generator(seed, "scatter").permutation(len(truth))[:MOST_POINTS])
        scatter = Scatter([found.truth[i] for i in sample], [found.answer[i] for i in sample], found.half_width)
        return Details(scatter=scatter, mistakes=mistakes(found.badness))
    return Details()


def _of_classes(
    logits: Floats,
    truth: np.ndarray,
    names: Sequence[str],
    mistakes: Callable[[Floats], tuple[Mistake, ...]],
    *,
    ordered: bool = False,
) -> Details:
    """The answer is the likeliest class; where they are `ordered` the median, and the farther off the worse."""
    probability = np.exp(logits - logits.max(-1, keepdims=True))
    probability /= probability.sum(-1, keepdims=True)
    answer = median_level(probability) if ordered else logits.argmax(-1)
    confidence = np.take_along_axis(probability, answer[:, None], axis=-1)[:, 0]
    further = np.abs(answer - truth) - 1 if ordered else 0
    return Details(
        confusion=_confusion(answer, truth, names),
        reliability=reliability(confidence, answer == truth),
        mistakes=mistakes(np.where(answer == truth, 0.0, confidence + further)),
    )


def _of_pixels(
    codec: Codec,
    output: Tensor,
    target: Tensor,
    seed: int,
    num_mistakes: int,
    place: Callable[[int], str],
    show: Callable[[int], Sequence[Shown]],
) -> Details:
    found = pixels_of(codec, output, target)
    mistakes = []
    for i in [i for i in np.argsort(-found.badness, kind="stable")[:num_mistakes].tolist() if found.badness[i] > 0]:
        drawn = Shown("answer and truth", "picture", painted(codec, output[i], target[i]))
        wrong = f"{percent(found.badness[i])} wrong" if found.names else f"log error {figure(found.badness[i])}"
        mistakes.append(Mistake(place(i), "on the right", f"on the left, {wrong}", None, (*show(i), drawn)))
    if found.names:
        return Details(confusion=_confusion(found.answer, found.truth, found.names), mistakes=tuple(mistakes))
    return Details(scatter=Scatter(*some_of(found, MOST_POINTS, seed=seed), None), mistakes=tuple(mistakes))


def _of_labels(
    logits: Floats, truth: np.ndarray, names: Sequence[str], mistakes: Callable[[Floats], tuple[Mistake, ...]]
) -> Details:
    answer, true = logits > 0, truth > 0.5
    scores = f1_scores(answer, true)
    kept = np.argsort(-true.sum(0), kind="stable")[: 2 * MOST_CLASSES]
    probability = np.exp(-np.logaddexp(0, -logits))
    return Details(
        labels=tuple(LabelScore(names[i], int(true[:, i].sum()), float(scores[i])) for i in kept),
        reliability=reliability(probability.reshape(-1), true.reshape(-1)),
        mistakes=mistakes((answer != true).sum(-1).astype(np.float64)),
    )


def reliability(confidence: Floats, correct: np.ndarray, *, bins: int = 10) -> tuple[Bin, ...]:
    """Rows grouped by the probability of their answer: its mean, how often it was right, how many rows; no empty bins.

    >>> reliability(np.array([0.91, 0.95, 0.5]), np.array([True, False, True]))[-1].accuracy
    0.5
    """
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    groups = [np.flatnonzero(place == number) for number in range(bins)]
    return tuple(
        Bin(float(confidence[group].mean()), float(correct[group].mean()), len(group)) for group in groups if len(group)
    )


def _confusion(answer: np.ndarray, truth: np.ndarray, names: Sequence[str]) -> Confusion:
    if len(names) > MOST_CLASSES:
        frequent = np.sort(np.argsort(-np.bincount(truth, minlength=len(names)), kind="stable")[: MOST_CLASSES - 1])
        fold = np.full(len(names), MOST_CLASSES - 1)
        fold[frequent] = np.arange(len(frequent))
        answer, truth, names = fold[answer], fold[truth], [*(names[i] for i in frequent), "others"]
    counts = np.bincount(truth * len(names) + answer, minlength=len(names) ** 2).reshape(len(names), -1)
    return Confusion(tuple(names), tuple(tuple(row) for row in counts.tolist()))


def _probability(codec: Codec, answers: dict[str, list[object]], i: int) -> float | None:
    value = answers.get("probability", [None] * (i + 1))[i]
    if not isinstance(value, float):
        return None
    return max(value, 1 - value) if isinstance(codec, BinaryCodec) else value


def _text(codec: Codec, answer: object) -> str:
    if isinstance(answer, list):
        text = figure if isinstance(codec, SeveralCodec) else text_of
        return ", ".join(text(one) for one in answer) or "none"
    return figure(answer) if isinstance(answer, float) else text_of(answer)
