"""What is compared: `--over` as variants, the folder that is claimed, the time that is kept, the outputs of a run."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import motet
from motet.core.errors import BundleError, SpecError
from motet.data import load_data
from motet.run.outputs import Outputs, Said, outputs_bytes, outputs_of, read_outputs
from motet.study.compare.claim import claim
from motet.study.compare.compare import beside, jobs_of
from motet.study.compare.grid import Axis, axes_of, singles_of, variants_of
from motet.study.compare.halving import schedule
from motet.study.compare.memory import available, held, peak
from motet.study.compare.running import FINISHED, WAITING, Job, Runner
from motet.training import Quiet

DOCUMENT: dict[str, Any] = {
    "data": "t.csv",
    "inputs": {"a": "number", "b": "number"},
    "tasks": {"y": "binary", "z": "regression"},
}


def test_values_are_a_yaml_list_and_paths_multiply() -> None:
    axes, single = axes_of(["fusion={kind: late, rule: product},concat", "balance.tasks=fixed,nash"])
    assert not single
    found = variants_of(DOCUMENT, axes)
    names = ["late (rule product) + fixed", "late (rule product) + nash", "concat + fixed", "concat + nash"]
    assert [one.name for one in found] == names
    assert [one.folder for one in found][:2] == ["late-rule-product+fixed", "late-rule-product+nash"]
    assert found[1].experiment.fusion.rule == "product"  # type: ignore[attr-defined]
    assert found[3].experiment.balance.tasks.kind == "nash"


def test_numbers_say_of_what_they_are_and_null_is_a_value() -> None:
    found = variants_of(DOCUMENT, [Axis("training.learning_rate", (0.1, 0.01)), Axis("training.patience", (None,))])
    assert [one.name for one in found] == ["learning_rate 0.1 + patience null", "learning_rate 0.01 + patience null"]
    assert [one.experiment.training.learning_rate for one in found] == [0.1, 0.01]


def test_from_python_values_may_be_specs() -> None:
    axes, single = axes_of({"fusion": [motet.fusion.Gated(), "concat"], "single": True})
    assert single
    found = variants_of({**DOCUMENT, "fusion": motet.fusion.Late()}, axes)
    assert [one.name for one in found] == ["gated", "concat"]


def test_a_spec_keeps_its_other_fields() -> None:
    document = {**DOCUMENT, "fusion": motet.fusion.Gated(width=16), "training": motet.TrainingSpec(epochs=3)}
    (one,) = variants_of(document, [Axis("fusion.width", (24,))])
    assert (one.experiment.fusion.kind, one.experiment.fusion.width) == ("gated", 24)  # type: ignore[attr-defined]
    (two,) = variants_of(document, [Axis("training.batch_size", (8,))])
    assert (two.experiment.training.epochs, two.experiment.training.batch_size) == (3, 8)


def test_single_models_have_one_task_each_and_nothing_to_balance() -> None:
    document = {**DOCUMENT, "balance": {"tasks": {"kind": "fixed", "weights": {"y": 1, "z": 2}}}}
    (joint,) = variants_of(document, [])
    singles = singles_of(joint)
    assert [(one.name, one.only, list(one.experiment.tasks)) for one in singles] == [
        ("single y", "y", ["y"]),
        ("single z", "z", ["z"]),
    ]
    assert all(one.experiment.inputs == joint.experiment.inputs for one in singles)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (["fusion=gatd,concat"], "'gatd' is not a fusion; did you mean 'gated'"),
        (["fuson=gated,concat"], "no field 'fuson'; did you mean 'fusion'"),
        (["training.epoch=1,2"], "no field 'epoch'; did you mean 'epochs'"),
        (["tasks.yy.weight=1,2"], "'yy' is not among the tasks; did you mean 'y'"),
        (["training.epochs=1,many"], "training.epochs"),
        (["sngle"], "did you mean 'single'"),
        (["fusion=concat,concat"], "'concat' is given twice"),
        (["fusion=concat", "fusion=gated"], "a field is named twice"),
        (["training.seed=1,2"], "--seeds says how many"),
        (["data.test=0.1,0.2"], "the same scored rows"),
        (["fusion=[concat"], "are not values"),
        (["fusion="], "at least one value"),
        (["data.train.x=1"], "has no fields"),
        ([], "nothing to compare"),
    ],
)
def test_what_can_not_be_compared_is_refused_with_the_nearest_name(over: list[str], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        variants_of({**DOCUMENT, "data": {"train": ["a.csv"]}}, axes_of(over)[0])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": ["fusion=concat"]}, "one variant alone"),
        ({"over": ["fusion=concat,gated"], "seeds": 0}, "--seeds"),
        ({"over": ["fusion=concat,gated"], "minutes": 0.0}, "--minutes"),
        ({"over": ["fusion=concat,gated"], "changes": ["training.devices=2"]}, "training.devices: 1"),
        ({"over": ["single"], "changes": ["tasks={y: binary}"]}, "one task"),
    ],
)
def test_nothing_is_written_before_all_is_known_to_be_right(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=message):
        motet.compare(DOCUMENT, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_belongs_to_one_comparison(tmp_path: Path) -> None:
    out = tmp_path / "out"
    claim(out, {"over": {"fusion": ["a"]}}, resume=False)
    claim(out, {"over": {"fusion": ["a"]}}, resume=True)
    with pytest.raises(SpecError, match="--resume"):
        claim(out, {"over": {"fusion": ["a"]}}, resume=False)
    with pytest.raises(SpecError, match=r"over\.fusion differ"):
        claim(out, {"over": {"fusion": ["b"]}}, resume=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").touch()
    with pytest.raises(SpecError, match="holds a run"):
        claim(tmp_path / "run", {}, resume=True)


def test_a_comparison_of_an_older_version_is_gone_on_with(tmp_path: Path) -> None:
    whole = motet.Experiment(**DOCUMENT).model_dump(mode="json")
    older = json.loads(json.dumps(whole))
    del older["tasks"]["y"]["coverage"], older["evaluation"]["level"]
    claim(tmp_path, {"experiment": older}, resume=False)
    claim(tmp_path, {"experiment": whole}, resume=True)
    whole["tasks"]["y"]["coverage"] = 0.5
    with pytest.raises(SpecError, match=r"experiment\.tasks\.y\.coverage differ"):
        claim(tmp_path, {"experiment": whole}, resume=True)
    (tmp_path / "settings.json").write_text("[1]")
    with pytest.raises(SpecError, match="damaged"):
        claim(tmp_path, {"experiment": whole}, resume=True)


def test_no_run_is_started_that_would_not_end_in_time(tmp_path: Path) -> None:
    experiment = motet.Experiment(**DOCUMENT)
    jobs = [Job("concat", seed, experiment, tmp_path / f"seed-{seed}") for seed in range(3)]
    jobs[0].folder.mkdir()
    (jobs[0].folder / "report.json").write_text("{}")
    (jobs[0].folder / "costs.json").write_text(json.dumps({"seconds": 1000.0}))
    runner = Runner(tmp_path, 2, Quiet(), deadline=time.monotonic() + 100)
    endings = runner.run(jobs)
    assert [endings[job.name].state for job in jobs] == [FINISHED, WAITING, WAITING]
    assert "time budget" in str(endings[jobs[1].name].reason)
    assert not jobs[1].folder.exists()


def test_every_seed_divides_the_rows_alike() -> None:
    rows = [{"a": number, "b": number, "y": ["no", "yes"][number % 2], "z": number} for number in range(60)]
    (variant,) = variants_of({**DOCUMENT, "data": rows}, [])
    jobs = jobs_of([beside(variant, variant.experiment, side=2)], Path("out"), seeds=range(2))
    parts = [load_data(one.experiment.data, base=Path(), seed=one.experiment.training.seed)[1].valid for one in jobs]
    assert [one.experiment.training.seed for one in jobs] == [0, 1]
    assert [str(one.folder) for one in jobs] == ["out/runs/joint/seed-0", "out/runs/joint/seed-1"]
    assert parts[0].tolist() == parts[1].tolist()
    own = load_data(variant.experiment.data, base=Path(), seed=1)[1].valid
    assert own.tolist() != parts[1].tolist()
    assert load_data(variant.experiment.data, base=Path(), seed=0)[1].valid.tolist() == parts[0].tolist()


def test_rounds_halve_a_long_list_at_equal_price() -> None:
    assert schedule(20, 40) == [(20, 8), (10, 16), (5, 32)]
    assert schedule(9, 3) == [(9, 1), (5, 2)]
    assert schedule(3, 10) == []


def test_memory_is_known_on_linux() -> None:
    import os
    import sys

    if not sys.platform.startswith("linux"):
        pytest.skip("read from /proc")
    own, most, left = held(os.getpid()), peak(), available()
    assert most is not None
    assert left is not None
    assert 0 < own <= most
    assert left > 0
    assert peak(2**30) is None


def outputs(**changes: Any) -> Outputs:
    said = Said(torch.randn(4, 3), torch.tensor([0, 2, -1, 1]), torch.tensor([True, True, False, True]))
    kept: dict[str, Any] = {"part": "test", "table": "t", "rows": torch.tensor([1, 3, 4, 9]), "groups": None}
    return Outputs(**kept | {"tasks": {"naïve.name": said}} | changes)


def test_outputs_come_back_as_they_were(tmp_path: Path) -> None:
    kept = outputs(groups=torch.tensor([0, 0, 1, 2]), too_large=("mask",))
    (tmp_path / "predictions").mkdir()
    data = outputs_bytes(kept)
    assert data == outputs_bytes(kept)
    (tmp_path / "predictions" / "outputs.safetensors").write_bytes(data)
    found = read_outputs(tmp_path)
    assert (found.part, found.table, found.too_large) == ("test", "t", ("mask",))
    assert found.rows.equal(kept.rows)
    assert found.groups is not None
    for part in ("output", "target", "labelled"):
        assert torch.equal(getattr(found.tasks["naïve.name"], part), getattr(kept.tasks["naïve.name"], part))


@pytest.mark.parametrize("content", [b"", b"junk" * 10])
def test_damaged_outputs_are_an_error_that_names_the_file(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="missing"):
        read_outputs(tmp_path)
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "outputs.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match=r"outputs\.safetensors: damaged"):
        read_outputs(tmp_path)


def test_outputs_that_are_too_large_are_named_and_not_kept() -> None:
    found = SimpleNamespace(
        outputs={"y": torch.zeros(4, 2), "mask": torch.zeros(4, 100)},
        targets={"y": torch.zeros(4), "mask": torch.zeros(4, 100)},
        labelled={"y": torch.ones(4, dtype=torch.bool), "mask": torch.ones(4, dtype=torch.bool)},
    )
    table = SimpleNamespace(content_hash="t")
    fitted = SimpleNamespace(tasks={"y": None, "mask": None}, table=table)
    scored: Any = SimpleNamespace(found=found, fitted=fitted, rows=[1, 2, 3, 5], groups=None, part="valid")
    kept = outputs_of(scored, most=1000)
    assert (list(kept.tasks), kept.too_large, kept.rows.tolist()) == (["y"], ("mask",), [1, 2, 3, 5])
