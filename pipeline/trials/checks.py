"""Checks of what is read from studies.yaml: errors are one line that names the place."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.common.errors import PipelineError
from pipeline.experiment import params
from pipeline.trials.setting import SECTIONS


def named(entries: Any, path: Path, name: str) -> Iterator[tuple[str, Any]]:
    """The entries of a section that users name."""
    if not isinstance(entries, dict):
        raise PipelineError(f"{path}: {name} must be a section with a name for each")
    for key, value in entries.items():
        if not isinstance(key, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", key):
            raise PipelineError(
                f"{path}: {name}.{key}: a name is of small letters, digits, - and _, since it names a folder"
            )
        yield key, value


def section(value: Any, where: str, needed: set[str], allowed: set[str]) -> dict[str, Any]:
    """A section with all of the keys that are needed, and no others than those allowed."""
    if not isinstance(value, dict):
        raise PipelineError(f"{where}: must be a section with the keys {', '.join(sorted(needed | allowed))}")
    for key in value:
        if key not in needed | allowed:
            known = ", ".join(sorted(needed | allowed))
            raise PipelineError(f"{where}: {key} is unknown; allowed there: {known}")
    for key in sorted(needed - value.keys()):
        raise PipelineError(f"{where}: {key} is missing")
    return value


def check_path(path: Any, where: str) -> None:
    """Raise unless it is a parameter that settings may change."""
    known = [known for known in params.names() if known.split(".")[0] in SECTIONS]
    if path in known:
        return
    if path in params.names():
        raise PipelineError(
            f"{where}: {path} does not differ between trials, which share the data: vary model's or train's "
            "parameters, or use `dvc exp run -S`"
        )
    raise PipelineError(f"{where}: {path} is no parameter; there are {', '.join(known)}")
