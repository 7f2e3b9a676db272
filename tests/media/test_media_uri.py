"""Data URIs: what is one, what it holds, and what is damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.core.errors import CellError
from motet.media import data_uri, is_data_uri, uri_bytes

KINDS = {
    b"\x89PNG\r\n": "image/png",
    b"\xff\xd8\xff\xe0": "image/jpeg",
    b"GIF89a": "image/gif",
    b"RIFF\0\0\0\0WAVEfmt ": "audio/wav",
    b"RIFF\0\0\0\0WEBPVP8": "image/webp",
    b"RIFF\0\0\0\0AVI ": "application/octet-stream",
    b"OggS": "audio/ogg",
    b"\x93NUMPY\x01": "application/x-npy",
    b"": "application/octet-stream",
}


@pytest.mark.parametrize("data", KINDS)
def test_bytes_are_told_by_how_they_begin(data: bytes) -> None:
    assert data_uri(data).startswith(f"data:{KINDS[data]};base64,")


@given(st.binary(max_size=200))
def test_there_and_back(data: bytes) -> None:
    assert uri_bytes(data_uri(data)) == data
    assert is_data_uri(data_uri(data))


@pytest.mark.parametrize(
    "uri", ["data:;base64,eA==", "data:text/plain;charset=utf-8;base64,eA==", "data:image/svg+xml;base64,eA=="]
)
def test_other_heads_are_read(uri: str) -> None:
    assert uri_bytes(uri) == b"x"


@pytest.mark.parametrize(
    "text",
    ["", "a.png", "data", "data:.png", "data:,x", "data:image/png,x", "DATA:;base64,eA==", "x data:;base64,eA=="],
)
def test_everything_else_is_no_data_uri(text: str) -> None:
    assert uri_bytes(text) is None
    assert not is_data_uri(text)


@pytest.mark.parametrize("body", ["e", "eA=", "e A==", "e\nA==", "eA==eA==", "é", "-_=="])
def test_damaged_base64_is_a_cell_error_without_its_content(body: str) -> None:
    with pytest.raises(CellError, match=r"^a data URI whose base64 is damaged$"):
        uri_bytes(f"data:image/png;base64,{body}")


def test_two_joined_are_not_one() -> None:
    assert not is_data_uri("data:;base64,eA==|data:;base64,eA==")
