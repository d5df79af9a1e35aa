"""Ending a command at once, with all that it started."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

import psutil

SERVERS = ("gcs_server", "raylet")  # Ray's processes without which nothing goes on
PR_SET_CHILD_SUBREAPER = 36  # of Linux's prctl


def exit_now(status: int) -> NoReturn:
    """End this process with `status`, and every process below it: no rank trains on.

    Nothing that happens meanwhile changes the status: by now the work is done, or its error is said.
    (Ranks whose raylet was killed are below it no longer; they end by themselves, in seconds.)
    """
    try:
        with suppress(ValueError):  # of a thread that is not the main one
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for stream in (sys.stdout, sys.stderr):
            # Closed by whoever started this, or a pipe that nobody reads any more: nobody misses the rest.
            with suppress(Exception):
                stream.flush()
        # Nothing more is to be said; Ray's threads would, of every process that dies now.
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for number in (1, 2):
                os.dup2(nowhere, number)
        _kill_all()
    finally:
        os._exit(status)


def _kill_all() -> None:
    with suppress(OSError, AttributeError):  # where this is not Linux
        # What a killed process had just started becomes this one's child, and is found too.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    # Where a server is gone, Ray ends this process with a status of its own, and a server goes where a helper
    # of it is gone. So they stand still first, and are killed last, with nothing after it that takes time. By
    # the second look what was started during the first is there too.
    servers = [process for process in _alive() if name(process) in SERVERS]
    for server in servers:
        with suppress(psutil.Error):
            server.suspend()
    for _ in range(2):
        for process in _alive():
            if process not in servers:
                kill(process)
    for server in servers:
        kill(server)


def _alive() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if not has_ended(child)]


def kill(process: psutil.Process) -> None:
    """Kill a process, unless it has ended by itself, or is another user's."""
    with suppress(psutil.Error):
        process.kill()


def name(process: psutil.Process) -> str:
    """A process's name; empty once it has ended."""
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or dead and not yet reaped."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
