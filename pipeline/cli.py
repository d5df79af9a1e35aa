"""The command line: one command a stage, and others for studies, trained models and workspaces.

Thin and lazy: a command imports what it runs, so `vaepipe --help` loads neither torch nor ray.
"""

import logging
import os
import signal
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from pipeline import cli_cluster, cli_models, cli_presets, cli_studies, options
from pipeline.errors import PipelineError, shown

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
HELP = (
    "Fit variational auto-encoders to street-view house numbers, reproducibly. `dvc repro` runs the "
    "stages in order; each is also a command of its own."
)

STAGES = "Stages, in the order in which dvc repro runs them"
STUDIES = "Studies"
MODELS = "Trained models"
WORKSPACES = "Workspaces"


def main() -> None:
    """The entry point: one line for what a user can mend."""
    # What stops a container or a batch job, treated as what stops a person's command.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Where the home cannot be written matplotlib makes do with a temporary folder, and says much about it.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    status: str | int | None
    try:
        app(prog_name="vaepipe")
    except PipelineError as error:
        with suppress(OSError):  # of a standard error that nobody reads any more
            typer.echo(f"error: {error}" if error.status == 1 else str(error), err=True)
        status = error.status
    except SystemExit as done:  # typer's way to come back
        status = done.code or 0
    except OSError as error:  # of a file or a folder that nobody has explained better
        with suppress(OSError):
            typer.echo(f"error: {_said(error)}", err=True)
        status = 1
    status = _flushed(status)
    if "ray" in sys.modules and isinstance(status, int):
        # An ordinary exit waits for Ray's processes, or is given a status by its threads.
        from pipeline import exits

        exits.end(status)
    sys.exit(status)


def _said(error: OSError) -> str:
    where = f"{shown(error.filename)}: " if error.filename else ""
    return where + (error.strerror or " ".join(str(error).split()) or type(error).__name__)


def _flushed(status: str | int | None) -> str | int | None:
    """Hand over what was printed. Where nobody reads it any more, as with `| head`, that is no error."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError as error:
        # Python would try again when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            typer.echo(f"error: standard output: {_said(error)}", err=True)
            return 1
    return status


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"vaepipe {metadata.version('vaepipe')}")
        raise typer.Exit


@app.callback(help=HELP)
def vaepipe(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """What stands before a command."""


@app.command(rich_help_panel=STAGES)
def prepare() -> None:
    """See that nothing of yours is in the way of what stages write; note which code they run."""
    from pipeline import params
    from pipeline.stages import prepare as stage

    stage.run(params.read().data.source)


@app.command(rich_help_panel=STAGES)
def download() -> None:
    """Get the images: SVHN's files, generated house numbers, or your own pictures."""
    from pipeline import guard, params
    from pipeline.stages import download as stage

    with guard.stage("download"):
        read = params.read()
        data = stage.Wanted(
            read.data.source, read.data.format, read.data.extra, read.data.size, read.data.test
        )
        stage.run(data, read.synthetic)


@app.command(rich_help_panel=STAGES)
def convert() -> None:
    """Convert the source's files to one HDF5 file; crop the digits of full numbers."""
    from pipeline import guard, params
    from pipeline.stages import convert as stage

    with guard.stage("convert"):
        read = params.read()
        stage.run(read.data.size, read.data.margin, read.data.neighbours)


@app.command(rich_help_panel=STAGES)
def split() -> None:
    """Split the images into one HDF5 file a colour channel."""
    from pipeline import guard
    from pipeline.stages import split as stage

    with guard.stage("split"):
        stage.run()


@app.command(rich_help_panel=STAGES)
def judge() -> None:
    """Train a classifier that reads a conditional model's samples; nothing to do for other models."""
    from pipeline import guard, params
    from pipeline.stages import judge as stage

    with guard.stage("judge"):
        read = params.read()
        stage.run(read.model.conditional, read.data.validation, read.train.seed)


@app.command(rich_help_panel=STAGES)
def train(
    gpus: options.Gpus = "auto",
    workers: Annotated[
        int | None,
        typer.Option(envvar="VAEPIPE_WORKERS", min=1, help="CPU ranks. Default: one for each component."),
    ] = None,
    storage: options.Storage = None,
    address: options.Address = None,
    max_failures: options.MaxFailures = 3,
    checkpoint_seconds: options.CheckpointSeconds = 15.0,
) -> None:
    """Fit the components' models on the machines that there are. They do not change the answer."""
    ranks_with_gpu = options.gpus(gpus)
    from pipeline import guard, params
    from pipeline.stages import train as stage

    machines = stage.Machines(ranks_with_gpu, workers, storage, address, max_failures, checkpoint_seconds)
    with guard.stage("train"):
        read = params.read()
        stage.run(read.data.validation, read.model, read.train, machines)


@app.command(rich_help_panel=STAGES)
def merge() -> None:
    """Reconstruct the test images, merge the channels, write the metrics and the report."""
    from pipeline import guard, params
    from pipeline.stages import merge as stage

    with guard.stage("merge"):
        read = params.read()
        stage.run(read)


for command in (cli_studies.study, cli_studies.studies, cli_studies.tune):
    app.command(rich_help_panel=STUDIES)(command)

for use in (
    cli_models.encode,
    cli_models.decode,
    cli_models.reconstruct,
    cli_models.sample,
    cli_models.interpolate,
):
    app.command(rich_help_panel=MODELS)(use)


@app.command(rich_help_panel=WORKSPACES)
def init(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A folder that is new or empty, or a workspace to be mended.", **options.PATH
        ),
    ],
) -> None:
    """Make a workspace, a folder anywhere on the disk in which dvc repro runs; or mend one."""
    from pipeline import repair, workspace

    if workspace.is_workspace(folder):
        mended = repair.mend(folder)
        for line in mended:
            typer.echo(f"mended: {line}")
        typer.echo(f"{folder} {'is ready' if mended else 'was ready; nothing was changed'}")
        return
    workspace.create(folder)
    typer.echo(f"{folder} is ready: cd {folder} && dvc repro")


@app.command(rich_help_panel=WORKSPACES)
def demo(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where to make the workspace.", **options.PATH),
    ] = Path("demo"),
) -> None:
    """Run the whole pipeline on generated house numbers, in a workspace of its own."""
    from pipeline import workspace

    report = workspace.demo(folder)
    typer.echo(f"The report: {os.path.relpath(report)}")


@app.command(rich_help_panel=WORKSPACES)
def runs(
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete those that no model in models/ came from.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    storage: options.Storage = None,
) -> None:
    """List the training runs on disk: how far each came, its size, and its parameters."""
    from pipeline import catalogue, layout, params, progress

    place = storage or str(layout.runs().absolute())
    found = catalogue.find(place)
    if not found:
        way = "" if storage else layout.way_to_workspace("")
        typer.echo(f"no runs in {storage or layout.runs()}{'; ' if way else ''}{way}")
        return
    progress.output().print(catalogue.table(found, params.read()))
    if prune and (removable := catalogue.removable(found)):
        if not yes:
            names = ", ".join(run.name for run in removable)
            typer.confirm(f"Delete {names}, with the checkpoints to go on from?", abort=True)
        for run in removable:
            catalogue.remove(place, run)
            typer.echo(f"deleted {run.name}")


app.add_typer(cli_presets.presets, name="preset", rich_help_panel=WORKSPACES)
app.add_typer(cli_cluster.cluster, name="cluster", rich_help_panel=WORKSPACES)


@app.command(rich_help_panel=WORKSPACES)
def doctor() -> None:
    """Tell whether this machine and this workspace are ready, and about how long the training takes."""
    from pipeline.doctor import visit

    raise typer.Exit(visit.run())


if __name__ == "__main__":
    main()
