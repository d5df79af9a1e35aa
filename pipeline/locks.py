"""Locks between processes of one machine, which name their holder."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline import files
from pipeline.errors import PipelineError


@contextmanager
def hold(path: Path, taken: Callable[[str], None]) -> Iterator[None]:
    """Be the one process that holds `path`, by a lock file beside it.

    Where another one does, `taken` is called with its name: it may raise, or return to wait.

    Raises:
        PipelineError: the folder of `path` cannot be written.
    """
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    named = path.with_name(f"{path.name}.holder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # The kernel lets go of the lock when its process ends, however it ends.
            lock.acquire(blocking=False)
        except Timeout:
            taken(_name_of_holder(path))
            lock.acquire()
    except OSError as error:
        said = f"{path.parent}: cannot be written: {error.strerror or error}"
        raise PipelineError(f"{said}; mend it and run the command again") from error
    try:
        files.write_text(named, f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        named.unlink(missing_ok=True)
        lock.release()


def holder(path: Path) -> str | None:
    """Who holds `path`; None where nobody does."""
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        with lock.acquire(blocking=False):
            return None
    except Timeout:
        return _name_of_holder(path)
    except OSError:  # closed to us, so that nobody of ours holds it
        return None


def _name_of_holder(path: Path) -> str:
    try:
        return path.with_name(f"{path.name}.holder").read_text(encoding="utf-8")
    except OSError:  # it has just come, or just gone
        return "another process"
