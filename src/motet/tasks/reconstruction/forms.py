"""From what an input's preparation is to what of its cells is said again."""

from collections.abc import Callable
from typing import Any

from motet.core.errors import SpecError
from motet.core.flow import Reader
from motet.tasks.reconstruction.arrayforms import NumberForm, VectorForm
from motet.tasks.reconstruction.idforms import CategoryForm, TextForm
from motet.tasks.reconstruction.mediaforms import PictureForm, SoundForm

AnyForm = NumberForm | VectorForm | PictureForm | SoundForm | CategoryForm | TextForm


def form_of(reader: Reader, *, size: int) -> AnyForm:
    """What of an input prepared so is said again; `SpecError` for several pictures in a row.

    `size` is the longer side of a reduced picture, and the number of parts of a sound. Mean and deviation of these two
    are those of the input until the form is `fitted`.
    """
    for field, make in _FORMS.items():
        if hasattr(reader, field):
            return make(reader, size)
    raise SpecError("of: rows with several pictures can not be reconstructed; name another input")


def _picture(reader: Any, size: int) -> PictureForm:
    height, width = reader.size
    factor = min(1.0, size / max(height, width))
    reduced = max(1, round(height * factor)), max(1, round(width * factor))
    return PictureForm(mean=reader.mean, deviation=reader.deviation, framing=reader.framing, size=reduced)


def _sound(reader: Any, size: int) -> SoundForm:
    given = {name: getattr(reader, name) for name in ("mean", "deviation", "rate", "seconds", "window", "hop")}
    return SoundForm(parts=size, **given)


_FORMS: dict[str, Callable[[Any, int], AnyForm]] = {
    "tokenizer": lambda reader, size: TextForm(
        tokenizer=reader.tokenizer, max_tokens=reader.max_tokens, words=reader.words
    ),
    "categories": lambda reader, size: CategoryForm(categories=reader.categories),
    "mels": _sound,
    "channels": _picture,
    "centre": lambda reader, size: NumberForm(
        mean=(reader.centre,), deviation=(reader.scale,), low=reader.low, high=reader.high, quantiles=reader.quantiles
    ),
    "separator": lambda reader, size: VectorForm(
        mean=reader.mean, deviation=reader.deviation, separator=reader.separator
    ),
}
"""By a field that tells a preparation from all others; an input that is prepared twice comes to the same."""
