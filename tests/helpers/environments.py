"""Python environments that hold chosen packages of this one, so that nothing has to be downloaded."""

import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def with_all_they_need(requirements: Iterable[str]) -> set[str]:
    """The names of installed distributions that the requirements bring, such as `ray[tune]`."""
    named, waiting = set(), [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *requirement.extras):
            key = (canonicalize_name(requirement.name), extra)
            if key in named:
                continue
            named.add(key)
            for text in metadata.requires(key[0]) or []:
                other = Requirement(text)
                if other.marker is None or other.marker.evaluate({"extra": extra}):
                    waiting.append(other)
    return {name for name, _ in named}


def build_wheel(checkout: Path, folder: Path) -> Path:
    """Build the checkout's wheel into `folder`, by the build back end that is installed here."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(checkout)], check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def create(folder: Path, wheel: Path, distributions: Iterable[str]) -> Path:
    """Make an environment of a wheel and of links to distributions of this one; return its bin/."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for name in distributions:
        for file in metadata.files(name) or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (packages / top).exists():
                (packages / top).symlink_to(Path(str(file.locate())).parents[len(file.parts) - 1] / top)
    options = ["--quiet", "--no-deps", "--no-index", str(wheel)]
    python = ["--python", str(folder / "bin/python")]
    subprocess.run([sys.executable, "-m", "pip", *python, "install", *options], check=True)
    return folder / "bin"
