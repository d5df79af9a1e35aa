"""The commands for workspaces and what is kept in them: `init`, `demo`, `runs`, `doctor`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options


def init(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder that is new or empty, or a workspace to be mended.", **options.PATH
        ),
    ],
) -> None:
    """Make a workspace, a folder anywhere on the disk in which dvc repro runs; or mend one."""
    from pipeline.experiment import repair, workspace

    if workspace.is_workspace(folder):
        mended = repair.mend(folder)
        for line in mended:
            typer.echo(f"mended: {line}")
        typer.echo(f"{folder} {'is ready' if mended else 'was ready; nothing was changed'}")
        return
    workspace.create(folder)
    typer.echo(f"{folder} is ready: cd {folder} && dvc repro")


def demo(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where to make the workspace.", **options.PATH),
    ] = Path("demo"),
) -> None:
    """Run the whole pipeline on generated house numbers, in a workspace of its own."""
    from pipeline.experiment import workspace

    report = workspace.demo(folder)
    typer.echo(f"The report: {os.path.relpath(report)}")


def runs(
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete those that no model in models/ came from.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    storage: options.Storage = None,
) -> None:
    """List the training runs on disk: how far each came, its size, and its parameters."""
    from pipeline.common import paths, progress
    from pipeline.common.errors import PipelineError, printable
    from pipeline.experiment import params
    from pipeline.runs import listing

    place = paths.run_storage(storage)
    found = listing.list_runs(place)
    if not found:
        way = "" if storage else paths.workspace_hint("")
        typer.echo(f"no runs in {printable(storage or paths.runs())}{'; ' if way else ''}{way}")
        return
    progress.output().print(listing.table(found, params.read()))
    if prune and (removable := listing.removable(found)):
        if not yes:
            names = ", ".join(run.name for run in removable)
            typer.confirm(f"Delete {names}, with the checkpoints to go on from?", abort=True)
        kept = []
        for run in removable:
            try:
                listing.remove(place, run)
                typer.echo(f"deleted {run.name}")
            except PipelineError as error:
                kept.append(str(error))
        if kept:
            raise PipelineError("; ".join(kept))


def doctor() -> None:
    """Tell whether this machine and this workspace are ready, and about how long the training takes."""
    from pipeline.doctor import run as doctor_run

    raise typer.Exit(doctor_run.run())
