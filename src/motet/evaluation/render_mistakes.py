"""The worst errors of a task with what the model saw: pictures, sounds, texts, and what spoke for each answer."""

import math
import re
from collections.abc import Sequence
from html import escape

from motet.evaluation.details import Details, Mistake, Shown
from motet.evaluation.figure import figure, percent
from motet.evaluation.svg import clipped

PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
SOUND = re.compile(r"data:audio/(wav|mpeg|ogg|flac);base64,[A-Za-z0-9+/=]+")
MOST_TEXT = 280
MOST_PIECES = 300


def mistakes(details: Details) -> str:
    """A gallery of the worst errors."""
    if not details.mistakes:
        return ""
    cards = "".join(_mistake(one) for one in details.mistakes)
    hints = []
    if any(one.contributions for one in details.mistakes):
        hints.append("Bars say what each input brought to the answer that was given.")
    if any(cell.saliency for one in details.mistakes for cell in one.cells):
        hints.append("Shades say where in an input.")
    if hints:
        number = details.scatter is not None
        hints.append("Red raised it, blue lowered it." if number else "Red spoke for it, blue against it.")
    hint = f"<p class='hint'>{' '.join(hints)}</p>" if hints else ""
    return f"<h3>Furthest from the truth</h3>{hint}<div class='gallery'>{cards}</div>"


def _mistake(mistake: Mistake) -> str:
    sure = "" if mistake.probability is None else f" <span class='row'>{percent(mistake.probability)} sure</span>"
    return (
        f"<div class='card'>{''.join(_shown(cell) for cell in mistake.cells)}"
        f"<div class='answer'>answered <b>{escape(mistake.answer)}</b>{sure}</div>"
        f"<div class='truth'>true <b>{escape(mistake.truth)}</b></div>{_brought(mistake)}"
        f"<div class='row'>{escape(mistake.row)}</div></div>"
    )


def _brought(mistake: Mistake) -> str:
    """What each input brought to this answer: bars from a zero that is the same for all of them."""
    known = {name: value for name, value in mistake.contributions.items() if math.isfinite(value)}
    low, high = min(0.0, *known.values(), 0.0), max(0.0, *known.values(), 0.0)
    span = (high - low) or 1.0
    bars = []
    for name, value in sorted(known.items(), key=lambda item: (-abs(item[1]), item[0])):
        place = f"left:{100 * (min(value, 0.0) - low) / span:.1f}%;width:{100 * abs(value) / span:.1f}%"
        bar = f"<i><b{' class=against' * (value < 0)} style='{place}'></b></i>"
        bars.append(f"<li><span title='{escape(name)}'>{escape(name)}</span>{bar}<span>{figure(value)}</span></li>")
    return f"<ul class='brought' aria-label='what each input brought'>{''.join(bars)}</ul>" if bars else ""


def _shown(cell: Shown) -> str:
    name = escape(cell.input)
    if cell.kind == "text":
        return f"<blockquote><b>{name}</b> {_text(cell)}</blockquote>"
    if cell.kind == "picture" and PICTURE.fullmatch(cell.content):
        return _with_map(f"<img src='{cell.content}' alt='{name}'>", cell)
    if cell.kind == "sound" and SOUND.fullmatch(cell.content):
        return _with_map(f"<audio controls preload='none' src='{cell.content}' aria-label='{name}'></audio>", cell)
    return ""


def _text(cell: Shown) -> str:
    """The text, its pieces shaded where it is known how much each weighed."""
    if not cell.saliency or isinstance(cell.saliency, str):
        return escape(clipped(cell.content, MOST_TEXT))
    return _pieces(cell.saliency)


def _pieces(pieces: Sequence[tuple[str, float]]) -> str:
    """Pieces as they follow each other in the text, shaded by how much each spoke for the answer or against it."""
    kept = [(piece, min(abs(weight), 1.0) if math.isfinite(weight) else 0.0, weight < 0) for piece, weight in pieces]
    shown = [
        f"<mark{' class=against' * against} style='--share:{share:.2f}'>{escape(piece)}</mark>"
        if share >= 0.01
        else escape(piece)
        for piece, share, against in kept[:MOST_PIECES]
    ]
    return "".join(shown) + ("\N{HORIZONTAL ELLIPSIS}" if len(pieces) > MOST_PIECES else "")


def _with_map(shown: str, cell: Shown) -> str:
    """A picture or a sound with the heat map of the picture, or of the sound's spectrogram, where there is one."""
    if not isinstance(cell.saliency, str) or not PICTURE.fullmatch(cell.saliency):
        return shown
    looked = f"<img src='{cell.saliency}' alt='{escape(f'where it looked in {cell.input}')}'>"
    return (
        f"<figure class='seen'>{shown}{looked}<figcaption>{escape(cell.input)}, where it looked</figcaption></figure>"
    )
