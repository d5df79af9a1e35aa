"""Commands in forks of this process, one of whose calls on files fails, by the library of `faults.c`."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import forks

KILL = "kill"
Fault = tuple[int, str, bool]  # which call fails, with what, and whether all after it do
NONE: Fault = (0, "", False)
PATIENCE = 10.0  # seconds: of a run that hangs
LONG_PATIENCE = 330.0  # the same, where Ray starts: it is given 300 s for its processes
LOOK_SECONDS = 0.1
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
    megabytes: int = 0  # more than the process had that it was forked from
    silence: float = 0.0  # seconds, the longest in which it said nothing


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
    patience: float = PATIENCE,
) -> Run:
    """Run a command in a fork of this process. `main` is the command line's entry point."""

    def before() -> None:
        os.setsid()
        os.chdir(folder)
        signal.setitimer(signal.ITIMER_REAL, patience)
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
        status, silence = _awaited(running, Path(f"/proc/self/fd/{said.fileno()}"))
        said.seek(0)
        seen = Path(counter.name).read_bytes()
        failed = seen[8:].partition(b"\0")[0].decode(errors="replace")
        count = int.from_bytes(seen[:8], sys.byteorder)
        return Run(status, said.read(), count, failed, silence=silence)


def _awaited(running: subprocess.Popen[bytes], said: Path) -> tuple[int, float]:
    """The status of a process, and for how long at most the file grew by nothing to which it speaks."""
    began = spoke = time.monotonic()
    size, silence = 0, 0.0
    while (status := running.poll()) is None and time.monotonic() - began < LONG_PATIENCE:
        time.sleep(LOOK_SECONDS)
        silence = max(silence, time.monotonic() - spoke)
        if (now := said.stat().st_size) != size:
            size, spoke = now, time.monotonic()
    if status is None:
        running.kill()
        running.wait()
    return (-signal.SIGALRM if status is None else status), silence


def contents(folder: Path, all_folders: bool = False) -> dict[str, bytes | None]:
    """All that is in a folder, by path; None of folders; without what tells of time or processes.

    Of folders of the state only with `all_folders`: they may be there or not.
    """
    found: dict[str, bytes | None] = {}
    for path in sorted(folder.rglob("*")):
        name, is_folder = str(path.relative_to(folder)), path.is_dir()
        stateful = is_folder and name.startswith(".vaepipe/")
        if not name.endswith(UNCOUNTED) and (all_folders or not stateful):
            found[name] = None if is_folder else path.read_bytes()
    return found


def differences(a: dict[str, bytes | None], b: dict[str, bytes | None]) -> str:
    return ", ".join(sorted(name for name in a.keys() | b.keys() if a.get(name, 0) != b.get(name, 0)))
