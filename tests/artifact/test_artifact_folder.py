"""Bytes on disk: whole or absent, and any change is noticed."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from motet.artifact import folder as folder_module
from motet.artifact import read_folder, write_file, write_folder
from motet.core.errors import BundleError, RunError

FILES = {"a.json": b'{"x": 1}', "b.bin": bytes(range(40)), "empty": b""}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "it", FILES)
    return tmp_path / "it"


def manifest(folder: Path) -> dict[str, Any]:
    listing: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return listing


def test_what_is_written_is_read(folder: Path) -> None:
    assert read_folder(folder) == FILES
    write_folder(folder, {"a.json": b"new"})
    assert read_folder(folder) == {"a.json": b"new"}
    assert sorted(path.name for path in folder.parent.iterdir()) == ["it"]


def test_every_byte_that_changes_is_noticed(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for index in range(len(whole)):
            for bit in (index % 8, (index + 5) % 8):
                path.write_bytes(whole[:index] + bytes([whole[index] ^ (1 << bit)]) + whole[index + 1 :])
                with pytest.raises(BundleError):
                    read_folder(folder)
        path.write_bytes(whole)
    assert read_folder(folder) == FILES


def test_every_truncation_is_noticed(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            with pytest.raises(BundleError):
                read_folder(folder)
        path.write_bytes(whole + b"\0")
        with pytest.raises(BundleError):
            read_folder(folder)
        path.write_bytes(whole)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        read_folder(folder)


def test_a_file_that_no_one_listed_is_not_read(folder: Path) -> None:
    (folder / "stranger").write_text("hello")
    assert read_folder(folder) == FILES


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "sub/file", "..", ".", "sub\\..\\file\0", ""])
def test_names_never_lead_out_of_the_folder(folder: Path, name: str) -> None:
    (folder.parent / "secret").write_bytes(b"abc")
    listing = manifest(folder)
    listing["files"][name] = {"sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "bytes": 3}
    (folder / "manifest.json").write_text(json.dumps(listing))
    with pytest.raises(BundleError):
        read_folder(folder)


def test_links_are_not_followed(folder: Path) -> None:
    (folder.parent / "secret").write_bytes(FILES["a.json"])
    (folder / "a.json").unlink()
    (folder / "a.json").symlink_to(folder.parent / "secret")
    with pytest.raises(BundleError, match=r"a\.json"):
        read_folder(folder)


@pytest.mark.parametrize(
    "listing",
    [[], {}, {"files": []}, {"files": {"a.json": {}}}, {"files": {"a.json": {"sha256": 1, "bytes": "many"}}}, None],
)  # fmt: skip
def test_a_manifest_of_another_shape_is_damaged(folder: Path, listing: object) -> None:
    (folder / "manifest.json").write_text(json.dumps(listing))
    with pytest.raises(BundleError):
        read_folder(folder)


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no manifest"):
        read_folder(tmp_path / "nowhere")


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "report.json"
    write_file(path, b"first")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder_module.os, "fsync", full)
    with pytest.raises(RunError, match=r"report\.json: could not write 6 bytes: No space left on device"):
        write_file(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(path.parent) == ["report.json"]
