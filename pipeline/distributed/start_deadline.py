"""The end of a process in which Ray hangs as it starts, and words meanwhile: a script, run beside it.

Ray waits for its servers in C++, and Python for Ray: then nothing in the process itself can give up, or
answer Ctrl-C, or say that it waits.

    python start_deadline.py PROCESS SECONDS GRACE MESSAGE

Standard input is a pipe from the process: its end says that Ray has started, or that the process is gone.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

AFTER_CTRL_C = 5.0  # seconds for the process to answer itself
SAID_SECONDS = 10.0  # between two words on the wait
LOOK_SECONDS = 1.0  # at most, between two looks at the time: Ctrl-C may have changed the deadline


@contextmanager
def enforced(seconds: float, message: str, grace: float = 0.0) -> Iterator[None]:
    """Kill this process if the block takes longer, or does not answer Ctrl-C; `message` is said first.

    Every ten seconds it is said how long Ray is waited for. `grace`: seconds after the others, in which the
    process may give up by itself.
    """
    numbers = [str(os.getpid()), str(seconds), str(grace)]
    command = [sys.executable, "-I", "-S", __file__, *numbers, message]
    # What ignores Ctrl-C as it begins answers it by no page of its own, until it has an answer.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        watching = subprocess.Popen(command, stdin=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    with watching:
        try:
            yield
        finally:
            assert watching.stdin is not None
            watching.stdin.close()


def main(process: int, seconds: float, grace: float, message: str) -> None:
    """Wait for the end of standard input, and kill the process where it does not come in time."""
    began = time.monotonic()
    deadline, said = began + seconds + grace, began

    def sooner(number: int, frame: object) -> None:
        nonlocal deadline
        deadline = min(deadline, time.monotonic() + AFTER_CTRL_C)

    signal.signal(signal.SIGINT, sooner)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while (left := deadline - time.monotonic()) > 0:
        due = said + SAID_SECONDS - time.monotonic()
        if select.select([sys.stdin], [], [], max(0.0, min(left, due, LOOK_SECONDS)))[0]:
            return
        now = time.monotonic()
        if now - said >= SAID_SECONDS and now - began < seconds:
            said = now
            _say(f"waiting for Ray: {now - began:.0f} s of at most {seconds:.0f} s")
    _say(message)
    os.kill(process, signal.SIGKILL)  # Ray's own processes end with it


def _say(line: str) -> None:
    with suppress(OSError):  # of a standard error that nobody reads: the deadline holds all the same
        os.write(2, f"{line}\n".encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
