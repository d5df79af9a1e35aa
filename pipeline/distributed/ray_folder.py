"""The folder of a Ray that is started here: short, for its sockets, and closed to other users."""

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.common.errors import PipelineError, reason

# Of a path to a socket; Ray's end in what follows, below the folder that it is given.
LONGEST = 107  # bytes
SOCKET = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
SESSIONS = "s"  # the folder that Ray is given, in one of this user's own
ROOM = 50 * 10**6  # bytes for Ray's logs and what it writes down; where there are none, it waits for ever
REMEDY = "set RAY_TMPDIR to a short folder of your own"


def choose() -> Path:
    """Choose the folder of Ray's sessions.

    Raises:
        PipelineError: there is no folder for them.
    """
    found, trouble = look()
    if found is None:
        raise PipelineError(f"Ray cannot start: {trouble}; {REMEDY}")
    return found


def look() -> tuple[Path | None, str]:
    """The first folder in which Ray can make sockets, below one of this user's own; or why there is none."""
    reasons: dict[Path, str] = {}
    for path in _folders():
        if path not in reasons:
            reasons[path] = _trouble(path)
            if not reasons[path]:
                return path / SESSIONS, ""
    said = "; ".join(f"{path} {reason}" for path, reason in reasons.items())
    return None, f"no folder for its sockets: {said}"


def _folders() -> Iterator[Path]:
    user = f"ray-{os.getuid()}"
    yield Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp") / user
    yield Path("/tmp") / user
    if place := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(place) / user
    yield Path("/var/tmp") / user
    yield Path("/dev/shm") / user


def _trouble(path: Path) -> str:
    """Reason why Ray cannot make sockets below `path`, where nobody else can reach them; empty where it can.

    Ray lets everybody write to the folder that it is given: it is one within this one.
    """
    room = LONGEST - len(SOCKET) - len(SESSIONS) - 1
    if len(os.fsencode(path)) > room:
        return f"is longer than {room} bytes"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = path.lstat()
        if about.st_uid != os.getuid() or not stat.S_ISDIR(about.st_mode):
            return "is another user's"
        path.chmod(0o700)
        if (free := shutil.disk_usage(path).free) < ROOM:
            return f"has {free:,} bytes free, of {ROOM:,} that are needed"
        with tempfile.TemporaryDirectory(dir=path) as scratch, socket.socket(socket.AF_UNIX) as one:
            one.bind(f"{scratch}/socket")
    except OSError as error:
        return f"cannot be used ({reason(error)})"
    return ""
