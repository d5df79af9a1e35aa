"""Locks between processes, by files that the kernel locks; they name their holder.

On a local disk they hold between all processes of the machine; on NFS between all machines that mount it, as
long as its server gives locks.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.common import files, this_process
from pipeline.common.errors import PipelineError, printable, reason

# What file systems without locks say.
LONGEST = 200  # characters of a holder that are told
MISSING = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class NoLocks(PipelineError):
    """The file system has no locks."""


@contextmanager
def locked(path: Path, taken: Callable[[str], None]) -> Iterator[None]:
    """Be the one process that holds `path`, by a lock file beside it.

    Where another one does, `taken` is called with its description: it may raise, or return to wait.

    Raises:
        PipelineError: the folder of `path` cannot be written.
        NoLocks: its file system has no locks.
    """
    # A file that is merely there would outlive a process that is killed.
    lock = FileLock(path.with_name(f"{path.name}.lock"), fallback_to_soft=False)
    named = path.with_name(f"{path.name}.holder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # The kernel lets go of the lock when its process ends, however it ends.
            lock.acquire(blocking=False)
        except Timeout:
            taken(_read(named))
            lock.acquire()
    except OSError as error:
        if error.errno in MISSING:
            said = f"{path.parent}: its file system has no locks ({error.strerror}); name another folder"
            raise NoLocks(said) from error
        said = f"{path.parent}: cannot be written: {reason(error)}"
        raise PipelineError(f"{said}; mend it and run the command again") from error
    try:
        # Only for people: where it cannot be written, the lock holds all the same.
        with suppress(PipelineError):
            files.write_text(named, this_process.described())
        yield
    finally:
        with suppress(OSError):
            named.unlink(missing_ok=True)
        lock.release()


def holder(path: Path) -> str | None:
    """The holder of `path`, named for people; None where nobody holds it."""
    lock = FileLock(path.with_name(f"{path.name}.lock"), fallback_to_soft=False)
    try:
        with lock.acquire(blocking=False):
            return None
    except Timeout:
        return _read(path.with_name(f"{path.name}.holder"))
    except OSError:  # closed to us, so that nobody of ours holds it
        return None


def _read(holder: Path) -> str:
    """The holder that the file names; there is a moment in which it is not written yet, or no longer."""
    try:
        return printable(holder.read_text(encoding="utf-8")[:LONGEST]) or "another process"
    except (OSError, ValueError):
        return "another process"
