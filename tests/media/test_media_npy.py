import numpy as np
import pytest

from motet import media
from motet.core.errors import CellError
from motet.media import npy as module


def test_arrays_come_back(tmp_path):
    for array in (np.arange(6.0).reshape(2, 3), np.zeros((0, 3)), np.asfortranarray(np.arange(6).reshape(2, 3))):
        np.save(tmp_path / "a.npy", array)
        found = media.array(tmp_path / "a.npy")
        assert np.array_equal(found, array)
        assert type(found) is np.ndarray


def test_what_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    with pytest.raises(CellError, match="No such file"):
        media.array(path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CellError, match="plain numbers"):
        media.array(path)
    np.save(path, np.arange(100.0))
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CellError, match="not a whole"):
        media.array(path)
    np.save(path, np.arange(100.0))
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    with pytest.raises(CellError, match="800 bytes, more than the 100 allowed"):
        media.array(path)
