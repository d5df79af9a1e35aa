"""Extras of the package: which packages a command needs, and what to install where one is missing.

`pip install vaepipe` brings what trained models are used with; `vaepipe[pipeline]` DVC, Ray and the rest.
"""

import functools
import re
from collections.abc import Callable
from importlib import metadata
from typing import Any

from pipeline.common.errors import PipelineError

BASE = ""  # no extra: what `pip install vaepipe` brings
PIPELINE = "pipeline"
SEARCH = "search"


def needing(extra: str, command: Callable[..., None]) -> Callable[..., None]:
    """The command, which first checks that the packages of an extra are installed.

    First, so that no command stops in the middle of its work for want of a package.
    """

    @functools.wraps(command)
    def checked(*arguments: Any, **options: Any) -> None:
        check(extra)
        command(*arguments, **options)

    return checked


def check(extra: str) -> None:
    """Raise unless the packages of an extra are installed, and those of no extra.

    Raises:
        PipelineError: one line that names what is missing, and says how to install it.
    """
    missing = [name for name in required(extra) if not _is_installed(name)]
    if missing:
        package = f"'vaepipe[{extra}]'" if extra else "vaepipe"
        raise PipelineError(f"not installed: {', '.join(missing)}; run pip install {package}")


def required(extra: str) -> list[str]:
    """The distributions that `pip install vaepipe[extra]` brings, in the order of their names.

    None where vaepipe itself is not installed, but found by PYTHONPATH.
    """
    names = []
    for requirement in (metadata.requires("vaepipe") or []) if _is_installed("vaepipe") else []:
        distribution, marker = re.match(r"[\w.-]+", requirement), re.search(r"extra == .(\w+)", requirement)
        if distribution and (marker[1] if marker else BASE) in (BASE, extra):
            names.append(distribution[0])
    return sorted(names)


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True
