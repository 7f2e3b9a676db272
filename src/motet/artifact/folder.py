"""A folder of bytes that is whole or absent, and says so itself: every file is listed with its size and SHA-256.

Written under another name, flushed to the disk and renamed, so that a crash at any point leaves the former state.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from motet.core.errors import BundleError, RunError

MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 1 << 20


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` as `folder`, replacing a former one; `RunError` with path and bytes when the disk refuses."""
    partial = folder.with_name(f".{folder.name}.partial")
    listing = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()}
    content = {**files, MANIFEST: json.dumps({"files": listing}, indent=1, sort_keys=True).encode()}
    try:
        take_back(folder)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, data in content.items():
            _write(partial / name, data)
        _sync(partial)
        _put_in_place(partial, folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        size = sum(len(data) for data in content.values())
        raise RunError(f"{folder}: could not write {size:,} bytes: {error.strerror or error}") from error


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of a folder written by `write_folder`; raises `BundleError` where anything is missing or changed."""
    with contextlib.suppress(OSError):
        take_back(folder)
    try:
        listing = json.loads(_regular_bytes(folder / MANIFEST, most=MOST_MANIFEST_BYTES))["files"]
        expected = {str(name): (str(entry["sha256"]), int(entry["bytes"])) for name, entry in listing.items()}
    except FileNotFoundError:
        raise BundleError(f"{folder}: no {MANIFEST} there; expected a folder written by motet") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BundleError(f"{folder / MANIFEST}: damaged; restore the folder from a copy") from None
    return {name: _read(folder, name, digest, size) for name, (digest, size) in expected.items()}


def _read(folder: Path, name: str, digest: str, size: int) -> bytes:
    if Path(name).name != name or "\0" in name:
        raise BundleError(f"{folder / MANIFEST}: names a file outside the folder: {name!r}")
    path = folder / name
    try:
        data = _regular_bytes(path, most=size)
        if len(data) != size:
            raise BundleError(f"{path}: {size:,} bytes expected, found otherwise; restore the folder from a copy")
    except OSError as error:
        raise BundleError(f"{path}: can not be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise BundleError(f"{path}: its content was changed after it was written; restore the folder from a copy")
    return data


def _regular_bytes(path: Path, *, most: int) -> bytes:
    """At most one byte more than `most`, of a regular file: no link is followed, no pipe waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(most + 1)


def write_file(path: Path, data: bytes) -> None:
    """One file, whole or absent."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(partial, data)
        partial.replace(path)
        _sync(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):  # its folder may not be one
            partial.unlink()
        raise RunError(f"{path}: could not write {len(data):,} bytes: {error.strerror or error}") from error


def former_of(folder: Path) -> Path:
    """Where a folder stands for the moment in which it is replaced."""
    return folder.with_name(f".{folder.name}.former")


def take_back(folder: Path) -> None:
    """After a crash in that moment, the folder as it was before."""
    if former_of(folder).exists() and not folder.exists():
        former_of(folder).rename(folder)


def _put_in_place(partial: Path, folder: Path) -> None:
    former = former_of(folder)
    shutil.rmtree(former, ignore_errors=True)
    try:
        if folder.exists():
            folder.rename(former)
        partial.rename(folder)
    except OSError:
        take_back(folder)
        raise
    _sync(folder.parent)
    shutil.rmtree(former, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
