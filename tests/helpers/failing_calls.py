"""Commands in forks of this process, one of whose calls on files fails, by the library of `faults.c`."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import forks

KILL = "kill"
Fault = tuple[int, str, bool]  # which call fails, with what, and whether all after it do
NONE: Fault = (0, "", False)
PATIENCE = 30.0  # seconds: of a run that hangs
LONG_PATIENCE = 330.0  # the same, where Ray starts: it is given 300 s for its processes
COUNTER = 16 << 10  # bytes of the file in which processes count together
# The kernel's locks may lie anywhere: they hold nobody up. How long a training took is lost with it.
UNCOUNTED = (".lock", ".holder", "timing.json")


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


def run_with_all_below(arguments: list[str], folder: Path, fault: Fault = NONE) -> Run:
    """Run a program; the calls of all processes that it starts count together, and so does a failing one."""
    at, error, onwards = fault
    with tempfile.NamedTemporaryFile() as counter, tempfile.TemporaryFile("w+") as said:
        counter.write(bytes(COUNTER))
        counter.flush()
        environment = {
            "FAULTS_FOLDER": str(folder),
            "FAULTS_AT": str(at),
            "FAULTS_ERROR": str(-1 if error == KILL else getattr(errno, error, 0)),
            "FAULTS_ONWARDS": str(int(onwards)),
            "FAULTS_COUNTER": counter.name,
        }
        running = subprocess.Popen(
            arguments,
            cwd=folder,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            status = running.wait(LONG_PATIENCE)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            status = -signal.SIGALRM
        said.seek(0)
        seen = Path(counter.name).read_bytes()
        failed = seen[8:].partition(b"\0")[0].decode(errors="replace")
        return Run(status, said.read(), int.from_bytes(seen[:8], sys.byteorder), failed, megabytes=0)


def contents(folder: Path) -> dict[str, bytes | None]:
    """All that is in a folder, by path; None of folders; without what tells of time or processes."""
    found: dict[str, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not name.endswith(UNCOUNTED) and not (path.is_dir() and name.startswith(".vaepipe/")):
            found[name] = None if path.is_dir() else path.read_bytes()
    return found


def differences(a: dict[str, bytes | None], b: dict[str, bytes | None]) -> str:
    return ", ".join(sorted(name for name in a.keys() | b.keys() if a.get(name, 0) != b.get(name, 0)))
