"""Shared fixtures: threads are few, the real data is found or its tests are skipped with the reason."""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read when its library is imported: no test waits for a hub

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _cache_of_this_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Tests leave nothing in the user's cache."""
    os.environ["MOTET_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("MOTET_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not at {folder}; set MOTET_DATA")
    return folder
