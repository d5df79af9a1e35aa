"""Measurements of the doctor: this machine, its disks, its software. Decides nothing."""

import configparser
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import metadata
from itertools import islice
from pathlib import Path

from pydantic import TypeAdapter

import pipeline
from pipeline.common import paths
from pipeline.common.errors import lines
from pipeline.doctor.speed import SpeedResult, SpeedTest

HOME = Path(str(pipeline.__file__)).resolve().parents[1]  # the checkout, or site-packages
MEASURE_SECONDS = 120.0  # for the measurement, torch's import included, which a cold disk makes slow

MOST_FILES = 200_000  # that are counted: someone may name a whole disk as the source

# In a process of its own; -P: whatever lies in the working directory is not meant.
ENGINE = [sys.executable, "-P", "-m", "pipeline.doctor.speed"]

SHARED_MEMORY = Path("/dev/shm")


def installed(name: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def wanted(names: Iterable[str], home: Path = HOME) -> dict[str, str]:
    """A version specifier for each package: the lock's where the checkout has one, else the package's own."""
    from packaging.requirements import InvalidRequirement, Requirement

    lock = home / "requirements.txt"
    lines = list(metadata.requires("vaepipe") or []) if installed("vaepipe") else []
    if lock.is_file():
        lines += lock.read_text(encoding="utf-8").splitlines()
    specifiers = dict.fromkeys(names, "")
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:  # an option or a comment
            continue
        if requirement.name in specifiers:
            specifiers[requirement.name] = str(requirement.specifier)
    return specifiers


def python_wanted() -> str:
    """The versions of Python that vaepipe admits, such as `>=3.11,<3.14`; empty where it is not installed."""
    return str(metadata.metadata("vaepipe")["Requires-Python"]) if installed("vaepipe") else ""


def default_params() -> Path:
    """The parameters that `vaepipe init` starts a workspace with."""
    packed = HOME / "pipeline/template" / paths.PARAMS
    return packed if packed.exists() else HOME / paths.PARAMS


def command_folder() -> str | None:
    """Folder of the `vaepipe` on PATH, links followed."""
    found = shutil.which("vaepipe")
    return str(Path(found).resolve().parent) if found else None


def shared_memory() -> int | None:
    """Free bytes in /dev/shm; None where there is none."""
    return shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else None


def dvc_folder() -> Path | None:
    """The .dvc that DVC finds from here: in this folder, or above."""
    here = Path.cwd()
    return next((folder / ".dvc" for folder in (here, *here.parents) if (folder / ".dvc").is_dir()), None)


def cache(dvc: Path) -> tuple[Path, list[str]]:
    """DVC's cache, and the kinds of link it is told to try in turn."""
    config = configparser.ConfigParser(interpolation=None)
    # DVC itself names what is wrong there.
    with suppress(configparser.Error, UnicodeDecodeError):
        config.read([dvc / "config", dvc / "config.local"], encoding="utf-8")
    section = config["cache"] if config.has_section("cache") else {}
    # DVC's own defaults; values may stand in quotes.
    folder, kinds = section.get("dir", "cache").strip("\"'"), section.get("type", "reflink,copy").strip("\"'")
    return (dvc / Path(folder).expanduser()).resolve(), [kind.strip() for kind in kinds.split(",")]


def try_links(kinds: Sequence[str]) -> bool:
    """Whether a file of this folder can be linked by one of the kinds, so that DVC need not copy it."""
    try:
        with tempfile.TemporaryDirectory(dir=".", prefix=".doctor.", suffix=".part") as name:
            original, link = Path(name, "original"), Path(name, "link")
            original.touch()
            for kind, make in (("hardlink", link.hardlink_to), ("symlink", link.symlink_to)):
                try:
                    if kind in kinds:
                        make(original)
                        return True
                except OSError:
                    continue
    except OSError:  # the folder cannot be written, which is a finding of its own
        return True
    return False


def device(path: Path) -> int:
    """The file system that `path` is on, or will be."""
    return _nearest(path).stat().st_dev


def free(path: Path) -> int:
    """Free bytes of that file system."""
    return shutil.disk_usage(_nearest(path)).free


def _nearest(path: Path) -> Path:
    """`path`, or the closest folder above it that is there."""
    # Path.exists raises where a folder is closed to us.
    return next(folder for folder in (path, *path.parents) if os.path.exists(folder))  # noqa: PTH110


def occupied(places: Iterable[Path]) -> int:
    """Bytes of the files at and below the paths."""
    total = 0
    for file in (file for place in places for file in files(place)):
        # One that is gone meanwhile, or a link to nowhere.
        with suppress(OSError):
            total += file.stat().st_size
    return total


def files(path: Path) -> Iterator[Path]:
    """The file itself, or the first MOST_FILES below the folder, as far as it is open to us."""
    if path.is_file():
        yield path
    below = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
    yield from islice(below, MOST_FILES)


def measure(test: SpeedTest, ranks: int) -> tuple[list[SpeedResult], str]:
    """The engine in so many processes side by side; or why it does not run."""
    environment = os.environ | {
        # The package that runs here, wherever Python would look first.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(HOME), os.environ.get("PYTHONPATH")]))
    }
    processes: list[subprocess.Popen[str]] = []
    try:
        for rank in range(ranks):
            part = TypeAdapter(SpeedTest).dump_json(replace(test, first=rank == 0)).decode()
            pipe = subprocess.PIPE
            processes.append(
                subprocess.Popen([*ENGINE, part], stdout=pipe, stderr=pipe, text=True, env=environment)
            )
        results = []
        for process in processes:
            out, trouble = process.communicate(timeout=MEASURE_SECONDS)
            if process.returncode:
                return [], lines(trouble, f"exit status {process.returncode}")[-1]
            results.append(TypeAdapter(SpeedResult).validate_json(out))
        return results, ""
    except subprocess.TimeoutExpired:
        return [], f"an epoch of noise did not end within {MEASURE_SECONDS:.0f} s"
    except OSError as error:
        return [], str(error)
    finally:
        for process in processes:
            process.kill()
            process.wait()
