"""How often the sets and intervals that are answered hold the truth, beside how often they are stated to."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from motet.evaluation.interval import Floats, Interval
from motet.evaluation.numbers import NUMBERS
from motet.evaluation.sampling import Sampling
from motet.tasks import Codec, SeveralCodec
from motet.tasks.classes import ClassCodec


@dataclass(frozen=True, slots=True)
class Coverage:
    """`size` is the mean number of labels of a set, or the mean width of an interval in the user's units (NaN of
    several numbers, which have no unit in common); `same_rows`: the scored rows are those the bound was fitted on,
    None where that is not known.
    """

    stated: float
    found: Interval
    size: float
    kind: Literal["set", "interval"]
    same_rows: bool | None


def coverage(
    codec: Codec, output: Tensor, target: Tensor, *, sampling: Sampling, same_rows: bool | None
) -> Coverage | None:
    """Of N labelled rows; None where neither sets nor intervals are answered. A label never trained on is not covered.

    Of several numbers the share of all numbers that lie in their own interval counts.

    >>> from motet.tasks import Binary
    >>> codec = Binary(coverage=0.5).fit(["no", "yes"]).model_copy(update={"bound": 0.0})
    >>> output, target = torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0])
    >>> coverage(codec, output, target, sampling=Sampling(seed=0), same_rows=False).found.value
    0.5
    """
    if not len(target) or not bool(output.isfinite().all()):
        return None
    if isinstance(codec, ClassCodec):
        sets = codec.sets(output)
        if sets is None:
            return None
        number = target.cpu().long()
        held = sets.gather(1, number.clamp(min=0)[:, None])[:, 0] & (number >= 0)
        found = sampling.of(_mean(held.double().numpy()), len(number))
        return Coverage(codec.coverage, found, float(sets.sum(1).double().mean()), "set", same_rows)
    columns = codec.decode(output) if isinstance(codec, NUMBERS) else {}
    if "low" not in columns:
        return None
    low, high, truth = (
        _rows(values) for values in (columns["low"], columns["high"], codec.decode(codec.certain(target))[""])
    )
    found = sampling.of(_mean(((low <= truth) & (truth <= high)).mean(axis=1)), len(truth))
    size = float("nan") if isinstance(codec, SeveralCodec) else float((high - low).mean())
    return Coverage(_stated(codec), found, size, "interval", same_rows)


def _stated(codec: Any) -> float:
    return float(codec.places[0].interval if isinstance(codec, SeveralCodec) else codec.interval)


def _rows(values: list[Any]) -> Floats:
    found: Floats = np.array(values, dtype=np.float64).reshape(len(values), -1)
    return found


def _mean(values: Floats) -> Any:
    tensor = torch.from_numpy(values)
    return lambda rows: float(tensor[rows].mean())
