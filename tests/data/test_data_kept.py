"""Arrays kept on disk under names of their content."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from motet.data import KeptArrays, name_of
from motet.data.kept import make_room


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MOTET_CACHE", str(tmp_path))
    return tmp_path


def arrays(*lengths: int) -> dict[str, np.ndarray]:
    found = [np.full((length, 3), float(length), dtype=np.float32) for length in lengths]
    return {name_of(one): one for one in found}


def same(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in expected)


def test_what_was_kept_is_found_bit_for_bit_by_who_has_the_same_maker() -> None:
    first, second = arrays(1, 2), arrays(3)
    KeptArrays("maker").keep(first)
    KeptArrays("maker").keep(second)
    assert same(KeptArrays("maker").find([*first, *second, "none"]), first | second)
    assert KeptArrays("other").find(first) == {}


def test_content_shape_and_type_make_the_name() -> None:
    one = np.arange(6, dtype=np.int32)
    others = [one + 1, one.reshape(2, 3), one.astype(np.int64), one[:5]]
    assert len({name_of(one), *map(name_of, others)}) == 5
    assert name_of(np.ascontiguousarray(one[::2])) == name_of(one[::2])


def test_a_damaged_part_is_removed_and_the_rest_is_found(cache: Path) -> None:
    whole, broken = arrays(1), arrays(2)
    KeptArrays("maker").keep(whole)
    before = set((cache / "states" / "maker").iterdir())
    KeptArrays("maker").keep(broken)
    (part,) = set((cache / "states" / "maker").iterdir()) - before
    (part / "flat.npy").write_bytes((part / "flat.npy").read_bytes()[:-8])
    assert same(KeptArrays("maker").find([*whole, *broken]), whole)
    assert not part.exists()


def test_the_parts_that_were_not_read_for_longest_make_room(cache: Path) -> None:
    old, read, new = arrays(10), arrays(20), arrays(30)
    for age, found in ((300, old), (200, read), (100, new)):
        before = set((cache / "states").glob("*/*"))
        KeptArrays("maker").keep(found)
        (part,) = set((cache / "states").glob("*/*")) - before
        os.utime(part, (part.stat().st_mtime - age,) * 2)
    KeptArrays("maker").find(old)
    make_room(sum(file.stat().st_size for file in (cache / "states").glob("*/*/*")) - 1)
    assert KeptArrays("maker").find([*old, *read, *new]).keys() == {*old, *new}


def test_a_place_where_nothing_can_be_written_is_no_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("MOTET_CACHE", str(cache / "file"))
    KeptArrays("maker").keep(arrays(1))
    assert KeptArrays("maker").find(arrays(1)) == {}
