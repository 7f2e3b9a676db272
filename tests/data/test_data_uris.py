"""Media written into the cell: data URIs, alone and several in a row, with the caps of files."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from motet.core.errors import CellError
from motet.core.flow import Column
from motet.data import BadCells, Fence, cells_of, read_cells, read_table
from motet.data.several import Several
from motet.inputs import Image
from motet.media import data_uri, image


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("L", (8, 8), shade).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_picture_in_the_cell_is_that_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(png(70))
    table = read_table([{"photo": data_uri(png(70))}, {"photo": "p.png"}, {"photo": data_uri(png(9))}], folder=tmp_path)
    reader = Image(size=(8, 8), channels=1).fit([tmp_path / "p.png"])
    for _ in range(2):  # the second time from what is remembered on disk
        store = read_cells(table, None, {"photo": Column(("photo",), reader, media=True)})
        assert [int(one.mean()) for one in store.columns["photo"].take(np.arange(3), np.arange(3))] == [70, 70, 9]


def test_paths_data_uris_and_bytes_go_together(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(png(70))
    rows = [[{"photo": "p.png"}, {"photo": data_uri(png(9))}, {"photo": None}], [{"photo": png(5)}]]
    table = read_table(rows, folder=tmp_path)
    reader = Image(size=(8, 8), channels=1).fit([tmp_path / "p.png"])
    store = read_cells(table, None, {"photo": Column(("photo",), reader, media=True)})
    assert store.columns["photo"].present.tolist() == [True, True, False, True]
    places = np.array([0, 1, 3])
    assert [int(one.mean()) for one in store.columns["photo"].take(places, places)] == [70, 9, 5]


@pytest.mark.parametrize("separator", ["|", ";", ","])
def test_a_separator_does_not_cut_a_data_uri(separator: str) -> None:
    uri = data_uri(png(70))
    table = read_table([{"photo": uri}, {"photo": f"a.png{separator}b.png"}])
    cells = cells_of(table, ("photo",), rows=np.arange(2), separator=separator)
    assert cells[0] == uri
    assert isinstance(cells[1], Several)
    assert cells[1].parts == ("a.png", "b.png")
    both = read_table([{"photo": f"{uri}|{uri}"}])
    (cell,) = cells_of(both, ("photo",), rows=np.arange(1), separator="|")
    assert isinstance(cell, Several)
    assert cell.resolved(Fence(None), Path()) == (png(70), png(70))


def test_what_is_damaged_is_named_and_the_caps_hold(tmp_path: Path) -> None:
    table = read_table([{"photo": "data:image/png;base64,e!"}, {"photo": data_uri(b"no picture")}])
    reader = Image(size=(8, 8), channels=1).fit([png(3)])
    with pytest.raises(BadCells) as caught:
        read_cells(table, None, {"photo": Column(("photo",), reader, media=True)})
    reasons = [problem.reason for problem in caught.value.problems]
    assert reasons[0] == "a data URI whose base64 is damaged"
    assert len(reasons) == 2
    assert all(len(problem.value) < 100 for problem in caught.value.problems)
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(CellError, match="pixels"):
        image(Fence(None).resolve(data_uri(huge), tmp_path))


def test_a_file_may_be_called_data(tmp_path: Path) -> None:
    (tmp_path / "data:a.png").write_bytes(png(1))
    assert Fence(None).resolve("data:a.png", tmp_path) == tmp_path / "data:a.png"
    with pytest.raises(CellError, match="leads out"):
        Fence(None).resolve("data:/../../x.png", tmp_path)
