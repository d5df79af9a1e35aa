"""This process and others of this machine, as told apart in places that several machines share.

psutil is loaded by what asks for it: whatever writes a file loads this module, and most of it asks for names.
"""

import os
import socket
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path


def described() -> str:
    """This process, for whoever comes second."""
    return f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M:%S}"


@cache
def machine() -> str:
    """This machine since it was started, and where in it processes are numbered: containers do so anew."""
    parts = [socket.gethostname()]
    with suppress(OSError):  # of another system than Linux, where the name has to do
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115
    return " ".join(parts)


def started() -> float:
    """When this process began, in seconds since 1970."""
    import psutil

    return float(psutil.Process().create_time())


def is_there(process: int) -> bool:
    """Whether this machine has a process of this number."""
    import psutil

    return psutil.pid_exists(process)


def runs(process: int, started: float) -> bool:
    """Whether this process of this machine is there, and is not another one with its number."""
    import psutil

    try:
        return abs(psutil.Process(process).create_time() - started) < 1
    except psutil.Error:
        return False
