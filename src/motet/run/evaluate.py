"""A trained model on rows it was not trained on: scores with intervals, what each input is worth, and the report."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, TypeAdapter

from motet.artifact import write_file
from motet.core.errors import BundleError, DataError
from motet.core.version import __version__
from motet.data import Table, read_held_out
from motet.evaluation import (
    Details,
    TaskResult,
    baseline,
    build_report,
    details_of,
    render_html,
    score,
)
from motet.model import Network
from motet.run.baselines import baselines_of
from motet.run.contribute import contribute
from motet.run.gallery import shower
from motet.run.judge import priors
from motet.run.outputs import OUTPUTS, outputs_bytes, outputs_of
from motet.run.prepare import Fitted, Prepared
from motet.run.relations import relations_of
from motet.run.report import Report
from motet.run.scored import sampling_of_table, scored_rows
from motet.run.tables import scores_by_table
from motet.run.trust import trust_of, trust_of_table
from motet.run.why import with_reasons
from motet.serving import Predictor
from motet.serving.answer import answer_table
from motet.serving.write import csv_bytes
from motet.training import Position, Progress, read_log


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The report, what its page shows beside the figures, the answers for the scored rows as CSV, and the outputs."""

    report: Report
    details: Mapping[str, Details]
    answers: bytes
    outputs: bytes


def evaluate_run(prepared: Prepared, network: Network, position: Position, *, progress: Progress) -> Evaluated:
    """Score the test rows, or the validation rows where there are none; test rows are read here and nowhere else."""
    splits = prepared.fitted.splits
    progress.say(f"scoring {len(splits.test) or len(splits.valid):,} {'test' if len(splits.test) else 'valid'} rows")
    scored = scored_rows(prepared, network, position)
    fitted, found, seed = scored.fitted, scored.found, scored.seed
    constants = priors(prepared)
    results, details = {}, {}
    by_table = scores_by_table(fitted.table, found, fitted.tasks)
    place, show = _placer(fitted.table), shower(fitted)
    worth = contribute(scored)
    further = (worth.of_tasks, trust_of(scored, place=place), baselines_of(scored, progress))
    for task, (spec, codec) in fitted.tasks.items():
        output, target = found.scored(task)
        results[task] = TaskResult(
            kind=spec.kind,
            primary=spec.primary,
            scores=score(
                codec,
                output,
                target,
                groups=scored.groups_of(task),
                seed=seed,
                resamples=scored.spec.resamples,
                level=scored.spec.level,
            ),
            baseline=baseline(codec, constants[task], target),
            rows=len(target),
            tables=_of_task(task, by_table),
            more={name: one for part in further for name, one in part.get(task, {}).items()},
        )
        labelled = found.rows[found.labelled[task]].tolist()
        looked_at = partial(details_of, codec, output, target, labelled, seed=seed, place=place)
        details[task] = with_reasons(scored, task, looked_at, show=show)
    report = build_report(
        rows_scored=scored.part,
        tasks=results,
        present_fraction={name: float(present.float().mean()) for name, present in found.present.items()},
        contributions=worth.contributions,
        of_inputs=worth.of_inputs,
        training=_facts(fitted, position) | {"parameters": sum(one.numel() for one in network.parameters())},
        more=relations_of(network, position),
        intervals={"level": scored.spec.level, "resamples": scored.spec.resamples},
    )
    answered = answer_table(
        fitted.table,
        found,
        tasks=fitted.tasks,
        inputs=fitted.inputs,
        id_column=fitted.experiment.data.id,
        root=fitted.root,
    )
    return Evaluated(Report(report), details, csv_bytes(answered), outputs_bytes(outputs_of(scored)))


def evaluate_table(predictor: Predictor, data: Any, *, root: str | Path | None = None) -> Report:
    """Score a saved model on another table; tasks without a label there are left out."""
    table = read_held_out(data)
    found = predictor.outputs(table, root=root)[0]
    by_table = scores_by_table(table, found, predictor.tasks)
    results = {}
    for task, (spec, codec) in predictor.tasks.items():
        if task in found.targets and bool(found.labelled[task].any()):
            output, target = found.scored(task)
            labelled = found.rows[found.labelled[task]]
            sampling = sampling_of_table(predictor.facts, table, labelled.numpy())
            results[task] = TaskResult(
                kind=spec.kind,
                primary=spec.primary,
                scores=score(codec, output, target, **asdict(sampling)),
                baseline=baseline(codec, torch.tensor(predictor.facts["priors"][task]), target),
                rows=len(target),
                tables=_of_task(task, by_table),
                more=trust_of_table(
                    codec,
                    output,
                    target,
                    labelled.tolist(),
                    sampling=sampling,
                    fitted_on=(predictor.facts.get("fitted_on") or {}).get(task),
                    place=_placer(table),
                ),
            )
    if not results:
        raise DataError(f"{', '.join(table.by_table())}: no row has a label of any task, so there is nothing to score")
    present = {name: float(cells.float().mean()) for name, cells in found.present.items()}
    return Report(
        build_report(
            rows_scored="test",
            tasks=results,
            present_fraction=present,
            contributions=None,
            training={},
            intervals={"level": sampling.level, "resamples": sampling.resamples},
        ),
        rows=f"the rows of {', '.join(table.by_table())}",
    )


def write_report(folder: Path, evaluated: Evaluated) -> None:
    """The answers, `report.html`, what it takes to write it again, and last `report.json`: the run is finished."""
    report, details = evaluated.report, evaluated.details
    write_file(folder / "predictions" / f"{report.content['rows_scored']}.csv", evaluated.answers)
    write_file(folder / "predictions" / "details.json", _DETAILS.dump_json(dict(details)))
    write_file(folder / OUTPUTS, evaluated.outputs)
    _write_html(folder, report, details)
    write_file(folder / "report.json", (report.to_json() + "\n").encode())


def report_again(folder: Path) -> Path:
    """Write `report.html` of a finished run once more."""
    report = Report.of_run(folder)
    path = folder / "predictions" / "details.json"
    try:
        details = _DETAILS.validate_json(path.read_bytes())
    except (OSError, ValueError):
        raise BundleError(f"{path}: missing or damaged; `motet evaluate` still gives the scores") from None
    return _write_html(folder, report, details)


def _write_html(folder: Path, report: Report, details: Mapping[str, Details]) -> Path:
    html = render_html(report.content, read_log(folder / "log.jsonl"), details, title=folder.resolve().name)
    write_file(folder / "report.html", html.encode())
    return folder / "report.html"


def _of_task(task: str, by_table: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, Mapping[str, float]]:
    return {table: scores[task] for table, scores in by_table.items() if task in scores}


def _facts(fitted: Fitted, position: Position) -> dict[str, Any]:
    splits, experiment = fitted.splits, fitted.experiment
    return {
        "rows": {"train": len(splits.train), "valid": len(splits.valid), "test": len(splits.test)},
        "epochs": position.epoch,
        "best_epoch": position.best_epoch,
        "steps": position.step,
        "seconds": round(position.seconds, 1),
        "skipped_steps": position.skipped,
        "gain": position.best_gain,
        "fusion": experiment.fusion.kind,
        "sharing": experiment.sharing.kind,
        "balance": f"tasks {experiment.balance.tasks.kind}, modalities {experiment.balance.modalities.kind}",
        "seed": experiment.training.seed,
        "versions": {"motet": __version__, "torch": str(torch.__version__)},
        "warnings": list(fitted.warnings),
    } | ({} if fitted.taken is None else {"init_from": fitted.taken.text()})


def _placer(table: Table) -> Any:
    def place(row: int) -> str:
        part, number = table.place(row)
        return f"{part.table if len(table.parts) > 1 else Path(part.name).name}:{number}"

    return place


_DETAILS: TypeAdapter[dict[str, Details]] = TypeAdapter(
    dict[str, Details], config=ConfigDict(ser_json_inf_nan="constants")
)
