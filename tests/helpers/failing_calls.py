"""Commands in forks of this process, one of whose calls on files fails, by the library of `faults.c`."""

import ctypes
import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import forks

KILL = "kill"
Fault = tuple[int, str, bool]  # which call fails, with what, and whether all after it do
NONE: Fault = (0, "", False)
PATIENCE = 30.0  # seconds: of a run that hangs
LOCKS = (".lock", ".holder")  # the kernel's locks may lie anywhere: they hold nobody up


def preload() -> dict[str, str]:
    """Build the library in a folder of its own; return the environment of a process that is to load it."""
    library = Path(tempfile.mkdtemp()) / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "OMP_NUM_THREADS": "1", "COLUMNS": "1000"}


@dataclass(frozen=True)
class Run:
    """What came of a run."""

    status: int  # negative: killed by a signal
    said: str  # standard error
    calls: int
    failed: str  # the call that failed, and its path
    megabytes: int  # more than the process had that it was forked from


class Calls:
    """The library of `faults.c`, which is loaded into this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["LD_PRELOAD"])
        self._library.faults_last.restype = ctypes.c_char_p

    def arm(self, folder: Path, at: int, error: str, onwards: bool) -> None:
        number = -1 if error == KILL else getattr(errno, error, 0)
        self._library.faults_set(str(folder).encode(), at, number, int(onwards))

    def disarm(self) -> None:
        self._library.faults_set(b"", 0, 0, 0)

    def seen(self) -> tuple[int, str]:
        return self._library.faults_count(), self._library.faults_last().decode(errors="replace")


def run(
    main: Callable[[], None],
    calls: Calls,
    line: str,
    folder: Path,
    fault: Fault = NONE,
) -> Run:
    """Run a command in a fork of this process. `main` is the command line's entry point."""

    def before() -> None:
        os.setsid()
        os.chdir(folder)
        signal.setitimer(signal.ITIMER_REAL, PATIENCE)
        calls.arm(folder, *fault)

    ended = forks.run(main, line.split(), before)
    own = Path("/proc/self/status").read_text().split("VmRSS:")[1].split()[0]
    more = max(0, ended.usage.ru_maxrss - int(own)) // 1024
    return Run(ended.status, ended.err, *calls.seen(), more)


def contents(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder, by path; None of folders, and of what tells of time or processes."""
    found: dict[str, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not name.endswith(LOCKS) and not (path.is_dir() and name.startswith(".vaepipe/")):
            timed = path.name in ("timing.json",)
            found[name] = None if path.is_dir() or timed else path.read_bytes()
    return found


def differences(a: dict[str, bytes | None], b: dict[str, bytes | None]) -> str:
    return ", ".join(sorted(name for name in a.keys() | b.keys() if a.get(name, 0) != b.get(name, 0)))
