"""Numbers and names as a person reads them."""

import math
from collections.abc import Mapping

MINUS = "\N{MINUS SIGN}"
NAMES = {
    "auroc": "AUROC",
    "ece": "calibration error",
    "f1": "F1",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "weighted_f1": "weighted F1",
    "hamming": "Hamming distance",
    "mae": "MAE",
    "r2": "R\N{SUPERSCRIPT TWO}",
    "rmse": "RMSE",
    "spearman": "Spearman correlation",
}


def figure(value: float | None, *, digits: int = 3) -> str:
    """A number to so many decimals, fewer where it is large; a dash for what does not exist.

    >>> figure(0.98765), figure(12.3456), figure(12345.6), figure(None), figure(2.5e-7)
    ('0.988', '12.35', '12,346', '–', '2.5e-07')
    """
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    size = abs(value)
    if size and not 1e-4 <= size < 1e9:
        return f"{value:.{digits}g}".replace("-", MINUS, value < 0)
    decimals = max(0, digits - math.floor(math.log10(size))) if size >= 10 else digits
    words = f"{value:,.{decimals}f}"
    return (words if words.strip("-0.") else words.lstrip("-")).replace("-", MINUS)


def interval(low: float | None, high: float | None) -> str:
    """The bounds in brackets, or nothing where there are none.

    >>> interval(0.5, 0.75), interval(None, None)
    ('[0.500, 0.750]', '')
    """
    return "" if low is None or high is None else f"[{figure(low)}, {figure(high)}]"


def percent(share: float) -> str:
    """A share of 1 in whole percent, never rounded to all or nothing where it is neither.

    >>> percent(0.999), percent(1.0)
    ('99%', '100%')
    """
    whole = round(100 * share)
    return f"{min(max(whole, 1), 99) if 0 < share < 1 else whole}%"


def percents(one: Mapping[str, float | None]) -> str:
    """The bounds of a share in brackets, in whole percent, or nothing where there are none.

    >>> percents({"value": 0.84, "low": 0.82, "high": 0.861})
    '[82%, 86%]'
    """
    low, high = one.get("low"), one.get("high")
    return "" if low is None or high is None else f"[{percent(low)}, {percent(high)}]"


def metric_name(name: str) -> str:
    """A metric's name in the field's spelling.

    >>> metric_name("auroc"), metric_name("average_precision")
    ('AUROC', 'average precision')
    """
    return NAMES.get(name, name.replace("_", " "))
