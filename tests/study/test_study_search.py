"""Fixed task weights found by search: better on validation than equal ones, kept with the run, and found once."""

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from searched import MODULE, assert_same_network, experiment, found, log, pretend, rows, with_tasks

import motet
from motet.artifact import read_bundle
from motet.balance import Fixed
from motet.core.errors import RunError, SpecError
from motet.run.prepare import Prepared
from motet.spec import load
from motet.study import before_training
from motet.training import Lines, Quiet

# --- what it finds


def test_a_loud_task_of_pure_noise_gets_less_and_the_model_scores_better_on_validation(tmp_path: Path) -> None:
    document = experiment(num_rows=240, epochs=10)
    searched = motet.fit(document, out=tmp_path / "searched")
    equal = motet.fit(with_tasks(document), out=tmp_path / "equal")
    weights = found(tmp_path / "searched")["weights"]
    assert weights["noise"] < 0.5 < 1.5 < weights["clear"]
    better, worse = (run.report.content["training"]["gain"] for run in (searched, equal))
    assert better > worse + 0.05


def test_the_run_trains_with_what_was_found_as_if_it_had_been_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "train", pretend(lambda weights, epochs: -weights["noise"]))
    for logs in (False, True):
        searched = motet.fit(with_tasks(experiment(), weights="search", log=logs), out=tmp_path / f"searched {logs}")
        weights = found(tmp_path / f"searched {logs}")["weights"]
        assert weights["noise"] < 0.5
        written = motet.fit(with_tasks(experiment(), weights=weights, log=logs), out=tmp_path / f"written {logs}")
        assert_same_network(searched, written)
        assert searched.report.content["tasks"] == written.report.content["tasks"]
        equal = motet.fit(with_tasks(experiment(), log=logs), out=tmp_path / f"equal {logs}")
        assert equal.report.content["tasks"] != written.report.content["tasks"]


def test_the_finished_run_and_its_bundle_say_what_was_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then the run says what was asked for, so that it can be resumed. With what it says it trains the same."""
    monkeypatch.setattr(MODULE, "train", pretend(lambda weights, epochs: -weights["noise"]))
    run = sys.modules["motet.run.experiment"]
    true_report, seen = run.write_report, []

    def write_report(out: Path, evaluated: Any) -> None:
        seen.append(yaml.safe_load((out / "experiment.yaml").read_text())["balance"]["tasks"]["weights"])
        true_report(out, evaluated)

    monkeypatch.setattr(run, "write_report", write_report)
    searched = motet.fit(experiment(), out=tmp_path / "run")
    assert seen == ["search"]
    weights = found(tmp_path / "run")["weights"]
    written = yaml.safe_load((tmp_path / "run" / "experiment.yaml").read_text())
    assert written["balance"]["tasks"] == {"kind": "fixed", "weights": weights, "log": False, "candidates": 4}
    assert read_bundle(tmp_path / "run" / "bundle").model["balance"] == written["balance"]
    again = motet.fit(experiment() | {"balance": written["balance"]}, out=tmp_path / "again")
    assert_same_network(searched, again)
    assert motet.fit(experiment(), out=tmp_path / "run", resume=True).report.content == searched.report.content


def test_the_log_and_the_file_tell_of_every_training(tmp_path: Path) -> None:
    motet.fit(experiment(candidates=5), out=tmp_path / "run")
    lines, whole = log(tmp_path / "run"), found(tmp_path / "run")
    rounds = [[line for line in lines if line["round"] == number] for number in (1, 2, 3)]
    assert [[line["epochs"] for line in each] for each in rounds] == [[1] * 5, [1] * 3, [2] * 2]
    for earlier, later in itertools.pairwise(rounds):
        bar = sorted((line["gain"] for line in earlier), reverse=True)[len(later) - 1]
        kept = [line["candidate"] for line in earlier if line["gain"] >= bar]
        assert [line["candidate"] for line in later] == kept
    last = {line["candidate"]: line["gain"] for line in rounds[-1]}
    best = max(last, key=lambda one: last[one])
    assert whole["weights"] == whole["candidates"][best - 1]["weights"]
    for number, candidate in enumerate(whole["candidates"], start=1):
        assert candidate["gains"] == [line["gain"] for line in lines if line["candidate"] == number]
        assert all(line["weights"] == candidate["weights"] for line in lines if line["candidate"] == number)
    assert sorted(path.name for path in (tmp_path / "run" / "search").iterdir()) == ["log.jsonl", "weights.json"]


def test_the_gain_of_a_candidate_is_that_of_a_run_with_its_weights(tmp_path: Path) -> None:
    motet.fit(experiment(candidates=2), out=tmp_path / "run")
    for line in log(tmp_path / "run"):
        document = with_tasks(experiment(epochs=line["epochs"]), weights=line["weights"])
        alone = motet.fit(document, out=tmp_path / f"alone-{line['candidate']}")
        assert alone.report.content["training"]["gain"] == line["gain"]


def test_the_same_search_twice_and_one_with_tasks_in_another_order_find_the_same(tmp_path: Path) -> None:
    document = experiment(candidates=3)
    turned = {**document, "tasks": dict(reversed(document["tasks"].items()))}
    runs = {
        name: motet.fit(one, out=tmp_path / name)
        for name, one in {"once": document, "again": document, "turned": turned}.items()
    }
    for name in ("again", "turned"):
        assert found(tmp_path / name) == found(tmp_path / "once")
        assert log(tmp_path / name) == log(tmp_path / "once")
        assert_same_network(runs[name], runs["once"])


def test_logarithms_are_searched_by_themselves(tmp_path: Path) -> None:
    whole = {}
    for wanted in (False, True):
        document = with_tasks(experiment(), weights="search", candidates=2, log=wanted)
        motet.fit(document, out=tmp_path / str(wanted))
        whole[wanted] = found(tmp_path / str(wanted))
        assert whole[wanted]["log"] is wanted
    plain, logged = ([one["gains"] for one in whole[wanted]["candidates"]] for wanted in (False, True))
    assert plain != logged


# --- stopped and resumed


def test_stopped_it_goes_on_and_trains_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = motet.fit(experiment(), out=tmp_path / "whole")
    trained, true_train = [], MODULE.train

    def train(*args: Any, **fields: Any) -> Any:
        trained.append(fields["out"].name)
        if len(trained) == 6:
            raise RunError("stopped")
        return true_train(*args, **fields)

    monkeypatch.setattr(MODULE, "train", train)
    with pytest.raises(RunError, match="stopped"):
        motet.fit(experiment(), out=tmp_path / "stopped")
    assert len(log(tmp_path / "stopped")) == 5
    with pytest.raises(SpecError, match="holds a run already"):
        motet.fit(experiment(), out=tmp_path / "stopped")
    resumed = motet.fit(experiment(), out=tmp_path / "stopped", resume=True)
    assert trained[5] == trained[6]
    assert len(trained) == 7
    assert found(tmp_path / "stopped") == found(tmp_path / "whole")
    assert log(tmp_path / "stopped") == log(tmp_path / "whole")
    assert_same_network(resumed, whole)


def test_a_training_of_the_search_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after a candidate was trained and before that was written: its checkpoint says the gain."""
    motet.fit(experiment(candidates=2), out=tmp_path / "whole")
    true_write = MODULE.write_file

    def killed(path: Path, data: bytes) -> None:
        raise RunError("killed")

    monkeypatch.setattr(MODULE, "write_file", killed)
    with pytest.raises(RunError, match="killed"):
        motet.fit(experiment(candidates=2), out=tmp_path / "killed")
    monkeypatch.setattr(MODULE, "write_file", true_write)
    said: list[str] = []
    monkeypatch.setattr(Quiet, "epoch", lambda self, *, epoch, epochs, text: said.append(text))
    motet.fit(experiment(candidates=2), out=tmp_path / "killed", resume=True)
    assert len(said) == 2 + 4  # epochs of the other candidate, and of the run
    assert log(tmp_path / "killed") == log(tmp_path / "whole")


def test_a_resumed_run_does_not_search_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "train", pretend(lambda weights, epochs: -weights["noise"]))
    whole = motet.fit(experiment(), out=tmp_path / "whole")

    def killed(*args: Any, **fields: Any) -> None:
        raise RunError("killed")

    run = sys.modules["motet.run.experiment"]
    with monkeypatch.context() as patch:
        patch.setattr(run, "train", killed)
        with pytest.raises(RunError, match="killed"):
            motet.fit(experiment(), out=tmp_path / "killed")
    monkeypatch.setattr(MODULE, "train", killed)
    assert_same_network(motet.fit(experiment(), out=tmp_path / "killed", resume=True), whole)


# --- what it refuses, what it says, and what stands beside it


@pytest.mark.parametrize("data", [{"valid": None}, {"valid": None, "split": "part"}])
def test_without_validation_rows_it_is_refused(tmp_path: Path, data: dict[str, Any]) -> None:
    document = experiment()
    tested = [one | {"part": "test"} for one in rows(8)]
    document["data"] = {"train": rows(40) + tested, "test": None if "split" in data else 0.2, **data}
    with pytest.raises(SpecError, match=r"balance.tasks.weights: search compares weights on validation rows"):
        motet.fit(document, out=tmp_path / "run")
    assert not (tmp_path / "run" / "search").exists()
    assert ("split" in data) == (tmp_path / "run").exists()


def test_several_processes_are_refused() -> None:
    check = sys.modules["motet.study.fit"]._check
    check(load(with_tasks(experiment(), weights={"clear": 2.0})), 2)
    check(load(experiment()), 1)
    with pytest.raises(SpecError, match=r"balance.tasks.weights: search trains .* and there are 2"):
        check(load(experiment()), 2)


def test_it_says_what_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    motet.fit(experiment(candidates=2), out=tmp_path / "run", progress=Lines())
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("search of task weights: ")]
    assert len(said) == 3
    assert said[0].endswith("round 1 of 1, candidate 1 of 2, 2 epochs with clear 1, noise 1")
    weights = found(tmp_path / "run")["weights"]
    assert said[-1].endswith(f"the run has clear {weights['clear']:.3g}, noise {weights['noise']:.3g}")


def test_one_task_leaves_nothing_to_search(tmp_path: Path) -> None:
    motet.fit(experiment() | {"tasks": {"clear": "regression"}}, out=tmp_path / "run")
    assert found(tmp_path / "run")["weights"] == {"clear": 1.0}
    assert not (tmp_path / "run" / "search" / "log.jsonl").exists()


def test_stacking_trains_its_folds_with_the_weights_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stacking = sys.modules["motet.study.stacking"]
    used, true_train = [], stacking.train

    def train(prepared: Prepared, *args: Any, **fields: Any) -> Any:
        tasks = prepared.fitted.experiment.balance.tasks
        assert isinstance(tasks, Fixed)
        used.append(tasks.weights)
        return true_train(prepared, *args, **fields)

    monkeypatch.setattr(stacking, "train", train)
    fusion = {"kind": "late", "rule": "stacking", "width": 8, "folds": 2}
    document = experiment(epochs=2, candidates=2, fusion=fusion)
    document["data"]["train"] = [one | {"y": one["x"][0]} for one in document["data"]["train"]]
    motet.fit(document | {"inputs": document["inputs"] | {"y": "number"}}, out=tmp_path / "run")
    weights = found(tmp_path / "run")["weights"]
    assert used == [weights, weights]


def test_an_experiment_that_does_not_ask_for_it_is_left_alone(tmp_path: Path) -> None:
    spec = load(with_tasks(experiment(), weights={"clear": 2.0}))
    before_training(spec, out=tmp_path, progress=Quiet())(None, None)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
