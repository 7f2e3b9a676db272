"""Each verb of `motet.api` as a command; no logic of its own.

Nothing heavy is imported before a command runs: `motet --help` needs neither torch nor pydantic.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from motet.cli_runs import compare, report
from motet.core.errors import MotetError, SpecError

app = typer.Typer(
    name="motet",
    help="Train one model from many modalities to many tasks; missing inputs and labels are a normal case.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ExperimentFile = Annotated[Path, typer.Argument(help="The experiment, YAML or JSON.", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(help="The folder of a finished run.", show_default=False)]
Out = Annotated[Path | None, typer.Option(help="The run folder; made of the experiment's name if left out.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run in that folder stopped.")]
Root = Annotated[
    Path | None, typer.Option(help="The folder every media path must stay inside; the run's own if left out.")
]
Changes = Annotated[list[str] | None, typer.Option("--set", help="Change a field: training.epochs=5; repeatable.")]
Rename = Annotated[
    list[str] | None, typer.Option(help="A column that the experiment calls otherwise: theirs=ours; repeatable.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is already there.")]


def main() -> None:
    """The entry point: plain errors, exit code 2 for what the user can mend, 1 for a run that failed."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait crawl on a busy machine
    sys.exit(_run(sys.argv[1:]))


@app.callback(invoke_without_command=True)
def _common(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from motet.core.version import __version__

        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where to put it; a former demo there is replaced.")] = Path("runs/demo"),
) -> None:
    """Make a table of pictures, sounds, texts and numbers, train three tasks on it, and write the report."""
    from motet import api

    typer.echo(api.demo(out, progress=_progress()).summary())


@app.command()
def init(
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL, Parquet or Arrow.", show_default=False)],
    task: Annotated[list[str], typer.Option(help="A column to predict; repeat for several.", show_default=False)],
    input_: Annotated[
        list[str] | None, typer.Option("--input", help="A column to predict from; all that make sense if left out.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path("experiment.yaml"),
    force: Force = False,
) -> None:
    """Look at a table and write a commented experiment for it."""
    from motet import api

    api.init(table, tasks=task, inputs=input_, output=output, force=force)
    typer.echo(f"wrote {output}; look it over, then: motet check {output} && motet train {output}")


@app.command()
def check(
    experiment: ExperimentFile,
    sample: Annotated[int | None, typer.Option(min=1, help="Read only so many rows, spread over the table.")] = None,
    set_: Changes = None,
) -> None:
    """Read the experiment and every cell it needs; list what is wrong, one problem a line."""
    from motet import api

    result = api.check(experiment, sample=sample, changes=set_ or [], progress=_progress())
    for line in result.problems:
        typer.echo(line)
    for line in result.warnings:
        typer.echo(f"warning: {line}", err=True)
    if result.problems:
        number = len(result.problems)
        typer.echo(f"{number:,} cell{'s' * (number > 1)} can not be read; correct them, or leave them empty", err=True)
        raise typer.Exit(2)
    typer.echo(result.summary)


@app.command()
def train(experiment: ExperimentFile, out: Out = None, resume: Resume = False, set_: Changes = None) -> None:
    """Train, evaluate, and write bundle and report. Ctrl-C stops after a whole step, with a checkpoint."""
    from motet import api

    folder = out or Path("runs") / experiment.stem
    _say(api.fit(experiment, out=folder, resume=resume, changes=set_ or [], progress=_progress()))


@app.command()
def pretrain(experiment: ExperimentFile, out: Out = None, resume: Resume = False, set_: Changes = None) -> None:
    """Train encoders and fusion without any label; training starts from it by training.init_from."""
    from motet import api

    folder = out or Path("runs") / f"{experiment.stem}-pretrained"
    _say(api.pretrain(experiment, out=folder, resume=resume, changes=set_ or [], progress=_progress()))


@app.command()
def evaluate(
    run: RunFolder,
    data: Annotated[
        Path | None, typer.Option(help="Another table with labels; the run's own held-out rows if left out.")
    ] = None,
    root: Root = None,
    rename: Rename = None,
    json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Score a trained model, with intervals."""
    from motet import api

    report = api.evaluate(run, _renamed(data, rename), root=root)
    typer.echo(report.to_json() if json else report.to_text())


@app.command()
def predict(
    run: RunFolder,
    data: Annotated[
        Path, typer.Option(help="The rows to answer; a missing input column is an absent input.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .csv, .parquet or .jsonl file.", show_default=False)
    ],
    root: Root = None,
    rename: Rename = None,
    explain: Annotated[bool, typer.Option("--explain", help="Add what each input contributes to each answer.")] = False,
    force: Force = False,
) -> None:
    """Answer every row of a table: one row out per row in."""
    from motet import api
    from motet.training import Lines

    table = _renamed(data, rename)
    num_rows = api.predict(run, table, output=output, root=root, force=force, explain=explain, progress=Lines())
    typer.echo(f"wrote {num_rows:,} rows to {output}")


@app.command()
def group(
    run: RunFolder,
    models: Annotated[int, typer.Option(help="At most so many models.", show_default=False)],
    json: Annotated[bool, typer.Option("--json", help="Print the proposal as JSON.")] = False,
) -> None:
    """Propose which tasks to train together, from how their gradients related in a run."""
    from motet import api

    grouping = api.group(run, models=models)
    typer.echo(grouping.to_json() if json else grouping.to_text())


app.command()(compare)
app.command()(report)


@app.command(name="list")
def list_(
    room: Annotated[str | None, typer.Argument(help="inputs, fusion, sharing, tasks, balance.tasks, ...")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Every kind there is, with one line and its paper."""
    from motet import api

    typer.echo(api.listing(room, as_json=json))


def _renamed(data: Path | None, rename: list[str] | None) -> Any:
    """The table with the columns that are to be renamed."""
    pairs = [one.partition("=") for one in rename or ()]
    for theirs, sign, ours in pairs:
        if data is None or not (theirs and sign and ours):
            raise SpecError(f"--rename {theirs}{sign}{ours}: expected --data TABLE and a pair such as tokens=words")
    return {"table": data, "rename": {theirs: ours for theirs, _, ours in pairs}} if pairs else data


def _say(run: Any) -> None:
    if os.environ.get("RANK", "0") == "0":  # of the processes that torchrun starts one speaks
        typer.echo(run.summary())


def _progress() -> Any:
    from motet.training import progress_for

    return progress_for()


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    arguments = ["--debug", *(word for word in arguments if word != "--debug")] if debug else arguments
    try:
        app(arguments, prog_name="motet")
    except SystemExit as stop:  # how typer ends, also after a mistake in the command itself
        return stop.code if stop.code in (0, 2) else 1
    except MotetError as error:
        if debug:
            traceback.print_exc()
        typer.echo(f"error: {error}", err=True)
        return error.exit_code
    except Exception as error:
        if debug:
            traceback.print_exc()
        text = f"error: {type(error).__name__}: {error}\nThis is a fault of motet; --debug shows the traceback."
        typer.echo(text, err=True)
        return 1
    return 0


if __name__ == "__main__":
    main()
