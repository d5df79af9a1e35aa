"""The end of a process in which Ray hangs as it starts: a script, run beside it.

Ray waits for its servers in C++, and Python for Ray: then nothing in the process itself can give up, or
answer Ctrl-C.

    python start_deadline.py PROCESS SECONDS MESSAGE

Standard input is a pipe from the process: its end says that Ray has started, or that the process is gone.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

AFTER_CTRL_C = 5.0  # seconds for the process to answer itself


@contextmanager
def enforced(seconds: float, message: str) -> Iterator[None]:
    """Kill this process if the block takes longer, or does not answer Ctrl-C; `message` is said first."""
    command = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(seconds), message]
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


def main(process: int, seconds: float, message: str) -> None:
    """Wait for the end of standard input, and kill the process where it does not come in time."""
    deadline = time.monotonic() + seconds

    def sooner(number: int, frame: object) -> None:
        nonlocal deadline
        deadline = min(deadline, time.monotonic() + AFTER_CTRL_C)

    signal.signal(signal.SIGINT, sooner)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while (left := deadline - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], min(left, 1.0))[0]:
            return
    print(message, file=sys.stderr, flush=True)
    os.kill(process, signal.SIGKILL)  # Ray's own processes end with it


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
