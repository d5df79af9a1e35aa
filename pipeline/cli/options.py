"""Options that several commands have: paths, and the machines, which are no part of an experiment."""

import os
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from pipeline.distributed.compute import Compute

Paths = TypeVar("Paths", Path, list[Path])


def _expanded(given: Paths) -> Paths:
    """Paths with ~ for the home directory, which shells leave as it is in --models=~/x; any others stay."""
    if isinstance(given, list):
        return [_expanded(path) for path in given]
    return Path(os.path.expanduser(given))  # noqa: PTH111  Path's own raises where there is no such home


# Of every option and argument that is a path. Whether one can be read is said by who reads it, in one line.
PATH: dict[str, Any] = {"callback": _expanded, "readable": False}


def _storage(given: str | None) -> str | None:
    """A folder as an absolute path, since ranks work elsewhere; a URI as it is; an empty text is none."""
    if not given:
        return None
    if "://" in given:
        return given
    folder = _expanded(Path(given))
    if folder.parts[0].startswith("~"):
        raise typer.BadParameter(f"{given!r}: there is no such home", param_hint="--storage")
    return str(folder.absolute())


Gpus = Annotated[
    str,
    typer.Option(
        envvar="VAEPIPE_GPUS",
        help="GPUs to use; 0 for the CPU; auto for as many as are of use.",
        metavar="N|auto",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        callback=_storage,
        envvar="VAEPIPE_STORAGE",
        help="Where checkpoints go: a folder or s3://bucket/folder. Default: in .vaepipe.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        envvar=["VAEPIPE_ADDRESS", "RAY_ADDRESS"],
        help="A running Ray cluster, or auto for the one on this machine. Default: start Ray here.",
    ),
]
MaxFailures = Annotated[
    int,
    typer.Option(envvar="VAEPIPE_MAX_FAILURES", min=0, help="Times that what failed is tried again."),
]
CheckpointSeconds = Annotated[
    float,
    typer.Option(
        envvar="VAEPIPE_CHECKPOINT_SECONDS",
        min=0,
        help="Time between two checkpoints, or one epoch where that is longer.",
    ),
]


MAX_FAILURES, CHECKPOINT_SECONDS = Compute.max_failures, Compute.checkpoint_seconds


def gpus(text: str) -> int | None:
    """`--gpus`; None is auto.

    Raises:
        typer.BadParameter: it is neither a number nor auto.
    """
    if text == "auto":
        return None
    if not text.isdecimal():
        raise typer.BadParameter(f"{text!r} is neither a number, 0 or more, nor auto")
    return int(text)
