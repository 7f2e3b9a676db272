"""The frame of every page that motet writes: one file that needs no network.

A content policy forbids requests, so that a table can not put anything into a page but what is seen.
"""

from html import escape
from importlib.resources import files

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"


def page(title: str, body: str) -> str:
    """A whole page around a body of HTML.

    >>> page("Tom & Ada", "<p>Hello</p>").startswith("<!doctype html>")
    True
    """
    style = files("motet.evaluation").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body><main>{body}</main></body></html>"
    )
