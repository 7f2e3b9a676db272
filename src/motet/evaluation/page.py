"""The frame of every page that motet writes: one file that needs no network, light or dark, with tables that sort.

A content policy allows one script, that of this frame, by the hash of its text, and no request: a table can not put
anything into a page but what is seen.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from html import escape
from importlib.resources import files

POLICY = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'unsafe-inline'; img-src data:; media-src data:; "
    "base-uri 'none'; form-action 'none'"
)
TOGGLE = "<button id='theme' class='theme' type='button' hidden>Dark theme</button>"


def page(title: str, body: str, *, sections: Sequence[tuple[str, str]] = ()) -> str:
    """A whole page around a body of HTML; `sections` are the ids in it that are to be led to, with their names.

    Tables of the class "sortable" are sorted by a click on a heading, or by Enter; a cell's `data-sort` is sorted by
    instead of its words.

    >>> page("Tom & Ada", "<p>Hello</p>").startswith("<!doctype html>")
    True
    """
    style, script = _part("page.css"), _part("page.js")
    hashed = b64encode(sha256(script.encode()).digest()).decode()
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY.format(script=hashed)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style}</style><script>{script}</script></head>"
        f"<body><a class='skip' href='#content'>Skip to the content</a>"
        f"<div class='topbar'>{_navigation(sections)}{TOGGLE}</div>"
        f"<main id='content' tabindex='-1'>{body}</main></body></html>"
    )


def _navigation(sections: Sequence[tuple[str, str]]) -> str:
    links = "".join(f"<li><a href='#{escape(place)}'>{escape(name)}</a></li>" for place, name in sections)
    return f"<nav aria-label='Sections'><ul>{links}</ul></nav>" if links else "<span></span>"


@cache
def _part(name: str) -> str:
    return files("motet.evaluation").joinpath(name).read_text(encoding="utf-8")
