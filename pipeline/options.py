"""Options that several commands have: the machines, which are no part of an experiment."""

from pathlib import Path
from typing import Annotated

import typer

Gpus = Annotated[
    str,
    typer.Option(
        envvar="VAEPIPE_GPUS",
        help="GPUs to use; 0 for the CPU; auto for as many as are of use.",
        metavar="N|auto",
    ),
]


def _storage(text: str | None) -> str | None:
    """`--storage`: a URI as it is, anything else as a folder, made absolute: ranks run elsewhere."""
    if not text or "://" in text:
        return text or None
    try:
        return str(Path(text).expanduser().absolute())
    except RuntimeError:
        raise typer.BadParameter(f"{text!r}: there is no such home", param_hint="--storage") from None


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
