"""Files that are whole or absent: written beside their place, then renamed into it."""

import errno
import glob
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.common import exchange, this_process
from pipeline.common.errors import PipelineError, printable, reason

FORSAKEN = 86400.0  # seconds after which another machine's partial file is nobody's
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # what it answers where nothing can be written
PART = re.compile(r"^\.(.+)\.[0-9a-f]{8}-\d+\.part$")  # names of what is being written
MOUNTED = (errno.EBUSY, errno.EXDEV)  # what the system answers where a mounted folder is to be renamed


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; rename it to `path` when the block ends, remove it when the block raises.

    Raises:
        PipelineError: it cannot be written; what was at `path` is there.
    """
    part = _part(path)
    try:
        yield part
        sync(part)
        part.replace(path)
    except OSError as error:
        raise _explained(path, error, part) from error
    finally:
        # What cannot be removed is the next one's to remove; it must not hide the error that there was.
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path, *, replace: bool = True) -> Iterator[Path]:
    """Yield a directory to write to; it replaces `path` as a whole, without `replace` only an empty one.

    Where `path` is a link to a directory, that is what is replaced, and the link stays.

    Raises:
        PipelineError: it cannot be written; what was at `path` is there.
    """
    place = Path(os.path.realpath(path)) if path.is_symlink() else path
    complete(place)
    part = _part(place)
    try:
        part.mkdir()
        yield part
        _sync_below(part)
        if replace:
            exchange.put(part, place)
        else:
            part.rename(place)
    except OSError as error:
        if error.errno in MOUNTED:
            raise PipelineError(
                f"{printable(path)}: cannot be replaced as a whole, perhaps because a file system is mounted "
                "there; mount it on the folder above; it is as it was"
            ) from error
        raise _explained(path, error, part) from error
    finally:
        # The new folder, where the block has failed, else the old one.
        shutil.rmtree(part, ignore_errors=True)


def complete(path: Path) -> None:
    """Bring back the folder that was at `path`, where a process was killed while it replaced it.

    Raises:
        PipelineError: it cannot be brought back.
    """
    try:
        exchange.complete(path)
    except OSError as error:
        raise _explained(path, error) from error


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


def parse_json(text: str | bytes) -> Any:
    """What JSON says, whatever its depth.

    Raises:
        ValueError: it is no JSON, or nested too deeply for any of ours.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def round_significant(value: float) -> float:
    """Round to six significant digits, as files of figures hold them: the rest is the machine's rounding."""
    return value if isinstance(value, int) else float(f"{value:.6g}")


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Figures by name, each rounded so."""
    return {name: round_significant(value) for name, value in values.items()}


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


def entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing where there is none.

    `Path.glob` would take a folder that may not be read for an empty one.

    Raises:
        PipelineError: it cannot be read.
    """
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from None


def below(folder: Path) -> Iterator[Path]:
    """All files and folders in a folder, at any depth.

    Raises:
        PipelineError: it, or a folder in it, cannot be read.
    """

    def fail(error: OSError) -> None:
        raise unreadable(Path(error.filename), error) from None

    for top, folders, names in os.walk(folder, onerror=fail):
        yield from (Path(top, name) for name in (*folders, *names))


def unreadable(path: Path, error: OSError) -> PipelineError:
    """An error such as `models: cannot be read: Permission denied`."""
    return PipelineError(f"{printable(path)}: cannot be read: {reason(error)}")


def _part(path: Path) -> Path:
    """A name beside `path` that no other process uses; what killed processes left there is removed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
            # Another process may be removing it too; what cannot be removed takes room, and harms nobody.
            with suppress(OSError):
                if _is_left(left):
                    shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
    except OSError as error:
        raise _explained(path, error) from error
    return path.with_name(f".{path.name}.{_owner()}-{os.getpid()}.part")


def _owner() -> str:
    """Who numbers this process: containers that share a folder number theirs each for itself."""
    return hashlib.sha256(this_process.machine().encode()).hexdigest()[:8]


def _is_left(part: Path) -> bool:
    """Whether the process that wrote a partial file has ended; of another machine's, whether it looks so."""
    owner, _, pid = part.name.split(".")[-2].partition("-")
    if owner == _owner() and pid.isdecimal():
        return not this_process.is_there(int(pid))
    newest = max(each.lstat().st_mtime for each in (part, *part.rglob("*")))
    return time.time() - newest > FORSAKEN


def sync(path: Path) -> None:
    """Wait until the bytes are on the disk, so that a rename never precedes them."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_below(folder: Path) -> None:
    for top, _, names in os.walk(folder, onerror=_raise):
        for file in (Path(top, name) for name in names):
            if not file.is_symlink():
                sync(file)


def _raise(error: OSError) -> None:
    raise error


def _explained(path: Path, error: OSError, part: Path | None = None) -> PipelineError:
    """`part`: what was being written, where other files were read for it."""
    ours = (str(path), str(part))
    name = _final(path)
    # Of a full disk a copy names what it reads.
    if part and error.filename and not str(error.filename).startswith(ours) and error.errno not in FULL:
        return PipelineError(f"{printable(error.filename)}: {reason(error)}; {name} was not written")
    return PipelineError(f"{name}: cannot be written: {reason(error)}; it is as it was")


def _final(path: Path) -> Path:
    """The name that a file within a partial folder will have."""
    return Path(*(PART.sub(r"\1", name) for name in path.parts))
