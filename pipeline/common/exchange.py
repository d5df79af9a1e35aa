"""A folder put in another's place, so that at every moment the old or the new one is there."""

import ctypes
import errno
import os
import shutil
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux's renameat2
# What systems say that cannot exchange: not Linux, an older kernel, NFS and some other file systems.
UNABLE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def put(new: Path, path: Path) -> None:
    """Rename the folder `new` to `path`, of the same file system. A folder that was there is at `new` then.

    Raises:
        OSError: it cannot be renamed; what was at `path` is there.
    """
    if not os.path.lexists(path):
        new.rename(path)
        return
    try:
        _exchange(new, path)
    except OSError as error:
        if error.errno not in UNABLE:
            raise
        _move(new, path)


def complete(path: Path) -> None:
    """Bring back a folder that was moved aside by a process that was killed before it put the new one there.

    Where the new one is there, the old one goes: the next could not be moved aside otherwise.

    Raises:
        OSError: it cannot be renamed or removed.
    """
    kept = _kept(path)
    if not kept.is_dir():
        return
    if os.path.lexists(path):
        shutil.rmtree(kept)
    else:
        kept.rename(path)


def _exchange(a: Path, b: Path) -> None:
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(b))


def _move(new: Path, path: Path) -> None:
    """In two steps, between which `complete` knows how to go on."""
    kept = _kept(path)
    path.rename(kept)
    try:
        new.rename(path)
    except OSError:
        kept.rename(path)
        raise
    kept.rename(new)


def _kept(path: Path) -> Path:
    return path.with_name(f".{path.name}.replaced.part")
