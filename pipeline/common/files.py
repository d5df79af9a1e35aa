"""Files that are whole or absent: written beside their place, then renamed into it."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from pipeline.common.errors import PipelineError, one_line, printable


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; rename it to `path` when the block ends, remove it when the block raises."""
    part = _part(path)
    try:
        yield part
        _sync(part)
        part.replace(path)
    except OSError as error:
        raise _explained(path, error, part) from error
    finally:
        # On a read-only file system also the unlinking of what is not there is an error. (Path.exists raises
        # where the folder is closed to us.)
        if os.path.exists(part):  # noqa: PTH110
            part.unlink()


@contextmanager
def atomic_directory(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield a directory to write to; it replaces `path` as a whole, without `replace` only an empty one."""
    part = _part(path)
    try:
        part.mkdir()
        yield part
        for file in part.rglob("*"):
            if file.is_file() and not file.is_symlink():
                _sync(file)
        if path.exists():
            # rename(2) cannot replace a directory that holds files.
            shutil.rmtree(path) if replace else path.rmdir()
        part.rename(path)
    except OSError as error:
        raise _explained(path, error, part) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8, whole or not at all (see `atomic_file`)."""
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, whole or not at all (see `atomic_file`)."""
    with atomic_file(path) as part:
        part.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, indented, whole or not at all (see `atomic_file`).

    Raises:
        ValueError: a number in it is NaN or infinite, which is no JSON.
    """
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def round_significant(value: float) -> float:
    """Round to six significant digits, as files of figures hold them: the rest is the machine's rounding."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def md5(path: Path) -> str:
    """The checksum that SVHN's files are known by; no security rests on it.

    Raises:
        PipelineError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def check_readable(path: Path) -> None:
    """Raise unless a file can be read; of one that may not be, libraries say that it is damaged or absent.

    Raises:
        FileNotFoundError: it is not there.
        PipelineError: it cannot be read.
    """
    try:
        path.open("rb").close()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> PipelineError:
    """An error such as `models: cannot be read: Permission denied`."""
    return PipelineError(f"{printable(path)}: cannot be read: {reason(error)}")


def reason(error: OSError) -> str:
    """The system's own words."""
    # HDF5 puts the system's number into a page of its own words.
    number = error.errno or int((re.findall(r"errno = (\d+)", str(error)) or ["0"])[0])
    return os.strerror(number) if number else one_line(error)


def _part(path: Path) -> Path:
    """A name beside `path` that no other process uses; what killed processes left there is removed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*.part"):
            pid = left.name.split(".")[-2]
            if pid.isdecimal() and not psutil.pid_exists(int(pid)):
                # Another process may be removing it too; what cannot be removed takes room, and harms nobody.
                with suppress(OSError):
                    shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
    except OSError as error:
        raise _explained(path, error) from error
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _sync(path: Path) -> None:
    """Wait until the bytes are on the disk, so that a rename never precedes them."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _explained(path: Path, error: OSError, part: Path | None = None) -> PipelineError:
    """`part`: what was being written, where other files were read for it."""
    ours = (str(path), str(part))
    if part and error.filename and not str(error.filename).startswith(ours):
        return PipelineError(f"{printable(error.filename)}: {reason(error)}; {path} was not written")
    return PipelineError(f"{path}: cannot be written: {reason(error)}; nothing was changed")
