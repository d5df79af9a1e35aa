"""The command line: one command a stage, and others for studies, trained models and workspaces.

Thin and lazy: a command imports what it runs, so `vaepipe --help` loads neither torch nor ray.
"""

import logging
import os
import signal
import sys
import traceback
from contextlib import suppress
from importlib import metadata
from typing import Annotated

import typer

from pipeline.cli import cluster, extras, models, presets, stages, studies, workspaces
from pipeline.common.errors import Interrupted, PipelineError, is_out_of_memory, one_line, printable, reason

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
HELP = (
    "Fit variational auto-encoders to street-view house numbers, reproducibly. `dvc repro` runs the "
    "stages in order; each is also a command of its own."
)

PANELS = {
    "Stages, in the order in which dvc repro runs them": (
        stages.prepare,
        stages.download,
        stages.convert,
        stages.split,
        stages.classifier,
        stages.train,
        stages.merge,
    ),
    "Studies": (studies.study, studies.studies, studies.tune),
    "Trained models": (models.encode, models.decode, models.reconstruct, models.sample, models.interpolate),
    "Workspaces": (workspaces.init, workspaces.demo, workspaces.runs, workspaces.doctor),
}
GROUPS = {"preset": presets.presets, "cluster": cluster.cluster}
LIBRARIES = ("pyarrow", "safetensors_rust")  # whose errors of the system are kinds of their own
PRINTING = ("typer", "click", "rich", "colorama")  # the last one comes with DVC
# The extras that commands need; all others need the pipeline's.
EXTRAS = dict.fromkeys(PANELS["Trained models"], extras.BASE) | {studies.tune: extras.SEARCH}


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
            said = printable(error)  # whatever a file has put into it
            typer.echo(f"error: {said}" if error.status == 1 else said, err=True)
        status = error.status
    except SystemExit as done:  # typer's way to come back
        status = done.code or 0
        if status == Interrupted.status:  # typer's answer to Ctrl-C, where no command has a better one
            with suppress(OSError):
                typer.echo("interrupted: run the same command again", err=True)
    except Exception as error:
        if not _is_the_system_s(error):
            raise
        with suppress(OSError):
            typer.echo(f"error: {'standard output: ' * _in_printing(error)}{_said(error)}", err=True)
        status = 1
    status = _flushed(status)
    if "ray" in sys.modules and isinstance(status, int):
        # An ordinary exit waits for Ray's processes, or is given a status by its threads.
        from pipeline.common import process_exit

        process_exit.exit_now(status)
    sys.exit(status)


def _is_the_system_s(error: Exception) -> bool:
    """Whether a disk, a network or the memory failed, where nobody has explained it better."""
    # By the names of their modules: most commands load none of these libraries.
    library = type(error).__module__.partition(".")[0]
    return isinstance(error, OSError) or is_out_of_memory(error) or library in LIBRARIES


def _said(error: Exception) -> str:
    if is_out_of_memory(error):
        return f"out of memory ({one_line(error)}); close other programs, or take a larger machine"
    if not isinstance(error, OSError):
        return one_line(error)
    where = f"{printable(error.filename)}: " if error.filename else ""
    return where + reason(error)


def _in_printing(error: Exception) -> bool:
    """Whether a library failed that prints: such an error names no file."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals["__name__"].partition(".")[0] in PRINTING


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
    """Options that stand before a command."""


for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(extras.needing(EXTRAS.get(command, extras.PIPELINE), command))
for name, group in GROUPS.items():
    for registered in group.registered_commands:
        if registered.callback:
            registered.callback = extras.needing(extras.PIPELINE, registered.callback)
    app.add_typer(group, name=name, rich_help_panel="Workspaces")
