"""Bytes as text, where a table or a JSON document has to hold them: data URIs (RFC 2397) in base64."""

import base64
import re

from motet.core.errors import CellError

_STARTS = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"OggS": "audio/ogg",
    b"fLaC": "audio/flac",
    b"ID3": "audio/mpeg",
    b"\xff\xfb": "audio/mpeg",
    b"\x93NUMPY": "application/x-npy",
}
_IN_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}
_HEAD = re.compile(r"data:[\w.+-]*(/[\w.+-]+)?(;[\w.+-]+=[\w.+-]*)*;base64,", re.ASCII)
_BODY = re.compile(r"[A-Za-z0-9+/]*={0,2}")


def data_uri(data: bytes) -> str:
    """The bytes as a data URI; what they are is told by how they begin.

    >>> data_uri(b"fLaC")
    'data:audio/flac;base64,ZkxhQw=='
    """
    return f"data:{_type_of(data)};base64,{base64.b64encode(data).decode()}"


def is_data_uri(text: str) -> bool:
    """Whether the whole text is one data URI in base64."""
    head = _HEAD.match(text)
    return head is not None and _BODY.fullmatch(text, head.end()) is not None


def uri_bytes(text: str) -> bytes | None:
    """The bytes of a data URI; None where the text is something else, such as a path.

    Errors: `CellError` for base64 that is damaged.

    >>> uri_bytes("data:audio/flac;base64,ZkxhQw=="), uri_bytes("a.flac")
    (b'fLaC', None)
    """
    head = _HEAD.match(text)
    if head is None:
        return None
    try:
        return base64.b64decode(text[head.end() :], validate=True)
    except ValueError:
        raise CellError("a data URI whose base64 is damaged") from None


def _type_of(data: bytes) -> str:
    if data[:4] == b"RIFF":
        return _IN_RIFF.get(data[8:12], "application/octet-stream")
    return next((kind for start, kind in _STARTS.items() if data.startswith(start)), "application/octet-stream")
