"""Shared fixtures: threads are few, the real data is found or its tests are skipped with the reason."""

import os
from functools import cache
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read when its library is imported: no test waits for a hub

import pytest
import torch
from xdist.scheduler import LoadScopeScheduling

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


class ByFixtures(LoadScopeScheduling):
    """Tests of a file that has something made once for all of them run in one process, so that it is made once."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if _makes_once(self.config.rootpath / file) else nodeid


@cache
def _makes_once(file: Path) -> bool:
    return 'scope="module"' in file.read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFixtures:
    """How tests are dealt out to processes; large groups first."""
    return ByFixtures(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, so that no process waits for it at the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
