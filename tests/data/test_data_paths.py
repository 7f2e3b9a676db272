import os

import pytest

from motet.core.errors import CellError
from motet.data.paths import Fence


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "table" / "media").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    for name in ("table/a.png", "table/media/b.png", "outside/c.png", "table-sibling.png"):
        (tmp_path / name).write_bytes(b"x")
    os.symlink(tmp_path / "outside" / "c.png", tmp_path / "table" / "link.png")
    os.symlink(tmp_path / "outside", tmp_path / "table" / "linked")
    os.symlink(tmp_path / "table" / "a.png", tmp_path / "table" / "inner.png")
    os.mkfifo(tmp_path / "table" / "pipe.png")
    return tmp_path


@pytest.mark.parametrize("cell", ["a.png", "./a.png", "media/b.png", "media/../a.png", "inner.png"])
def test_inside(folders, cell):
    resolved = Fence(None).resolve(cell, folders / "table")
    assert resolved == (folders / "table" / cell).resolve()


@pytest.mark.parametrize(
    "cell",
    [
        "../outside/c.png",
        "link.png",
        "linked/c.png",
        "../table-sibling.png",
        "media/../../outside/c.png",
        "/etc/passwd",
    ],
)
def test_outside(folders, cell):
    with pytest.raises(CellError, match="leads out of the root"):
        Fence(None).resolve(cell, folders / "table")


def test_root_widens_and_narrows_the_fence(folders):
    absolute = str(folders / "outside" / "c.png")
    assert Fence(folders).resolve(absolute, folders / "table") == (folders / "outside" / "c.png").resolve()
    with pytest.raises(CellError, match="leads out"):
        Fence(folders / "table" / "media").resolve("a.png", folders / "table")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("media/bb.png", r"no such file; did you mean 'b.png'\?"),
        ("nowhere/b.png", "no such file"),
        ("media", "not a regular file"),
        ("pipe.png", "not a regular file"),
        ("a\0.png", "NUL"),
        (".", "not a regular file"),
        ("x" * 5000, "no such file"),
    ],
)
def test_no_file(folders, cell, reason):
    with pytest.raises(CellError, match=reason) as error:
        Fence(None).resolve(cell, folders / "table")
    assert str(folders) not in str(error.value)


def test_what_is_no_path_stays(folders):
    fence = Fence(None)
    assert fence.resolve(b"png", folders) == b"png"
    assert fence.resolve({"bytes": b"png", "path": "/etc/passwd"}, folders)["bytes"] == b"png"
    inside = fence.resolve({"bytes": None, "path": "a.png"}, folders / "table")
    assert inside["path"] == (folders / "table" / "a.png").resolve()
    with pytest.raises(CellError, match="leads out"):
        fence.resolve({"bytes": None, "path": "/etc/passwd"}, folders)
