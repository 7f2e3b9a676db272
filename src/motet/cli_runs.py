"""The commands about several runs at once; like those of `motet.cli`, which has all of them, without logic."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    experiment: Annotated[Path, typer.Argument(help="The experiment, YAML or JSON.", show_default=False)],
    over: Annotated[
        list[str],
        typer.Option(
            help="A field and its values, fusion=concat,gated; several are multiplied. single: one model per task.",
            show_default=False,
        ),
    ],
    seeds: Annotated[int, typer.Option(min=1, help="How often each is trained, with other initial weights.")] = 3,
    minutes: Annotated[float | None, typer.Option(help="Start no run that would not end in this time.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder; made of the experiment's name if left out.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the comparison in that folder.")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a field for all: training.epochs=5.")] = None,
    jobs: Annotated[str, typer.Option(help="Runs side by side; auto: as many as cores and memory hold.")] = "auto",
    halving: Annotated[
        bool, typer.Option("--halving", help="Train many variants a little first, and go on with the better half.")
    ] = False,
) -> None:
    """Train variants of an experiment side by side with several seeds, and rank them with intervals."""
    from motet import api
    from motet.core.errors import SpecError
    from motet.training import progress_for

    if jobs != "auto" and not jobs.isdigit():
        raise SpecError(f"--jobs: expected auto or a whole number, found {jobs!r}")
    found = api.compare(
        experiment,
        over,
        seeds=seeds,
        minutes=minutes,
        out=out or Path("runs") / f"{experiment.stem}-compare",
        resume=resume,
        changes=set_ or [],
        jobs=None if jobs == "auto" else int(jobs),
        halving=halving,
        progress=progress_for(),
    )
    typer.echo(f"{found.to_text()}\n\npage  {found.page}")


def report(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs.", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Of several runs, the page that compares them.")
    ] = Path("comparison.html"),
    open_: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write report.html of each run again, one file, no network; of several also a page that compares them."""
    from motet import api

    written = api.report(runs)
    for path in written:
        typer.echo(str(path))
    if len(runs) > 1:
        found = api.compare_runs(runs)
        written = [found.write_page(output, title="comparison")]
        typer.echo(f"{found.to_text()}\n\npage  {output}")
    for path in written if open_ else ():
        typer.launch(path.resolve().as_uri())
