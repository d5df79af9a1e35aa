"""Checks of where results go, made before anything is computed."""

import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.common.errors import PipelineError, printable


def check_file(path: Path, suffix: str, inputs: Sequence[Path], *, replace: bool) -> None:
    """Raise unless a file of that suffix can be put there.

    Over another one only where it is to be replaced, and never over one of the inputs.
    """
    _check_parent(path)
    if path.suffix.lower() != suffix:
        raise PipelineError(f"{printable(path)}: expected a name that ends in {suffix}")
    if path.is_dir():
        raise PipelineError(f"{printable(path)}: a folder; expected the name of a file, ending in {suffix}")
    if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
        raise PipelineError(f"{printable(path)}: is what is read; name another file to write")
    if path.exists() and not replace:
        raise PipelineError(f"{printable(path)}: is there already; --force replaces it")


def check_picture(path: Path, inputs: Sequence[Path] = ()) -> None:
    """Raise unless a PNG can be put there, perhaps over another one."""
    check_file(path, ".png", inputs, replace=True)


def check_folder(path: Path) -> None:
    """Raise unless a folder can be made there: new, or in place of an empty one."""
    _check_parent(path)
    if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
        raise PipelineError(f"{printable(path)}: expected a new folder, or an empty one; nothing was written")


def _check_parent(path: Path) -> None:
    if path.name in ("", ".."):
        raise PipelineError(
            f"{printable(path)}: expected the name of something new, not the folder one is in"
        )
    if not path.parent.is_dir():
        raise PipelineError(f"{printable(path)}: there is no folder {printable(path.parent)}; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PipelineError(
            f"{printable(path)}: cannot be written: {printable(path.parent)} takes no new files; "
            "name another place"
        )
