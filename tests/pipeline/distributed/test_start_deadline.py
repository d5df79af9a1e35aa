"""A process that cannot end itself is ended from outside, with a line."""

import os
import signal
import subprocess
import sys
import time

import pytest

HANGS = """
import ctypes, sys
from pipeline.distributed import start_deadline
with start_deadline.enforced(float(sys.argv[1]), "error: it hangs"):
    ctypes.PyDLL(None).usleep(int(sys.argv[2]))  # with Python's lock in hand, as Ray has it
print("went on")
"""


@pytest.mark.parametrize(
    ("seconds", "microseconds", "status", "out", "err"),
    [(0.3, 20_000_000, -9, "", "error: it hangs\n"), (20, 1000, 0, "went on\n", "")],
)
def test_what_hangs_is_ended_and_what_does_not_goes_on(
    seconds: float, microseconds: int, status: int, out: str, err: str
) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", HANGS, str(seconds), str(microseconds)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, out, err)
    assert time.monotonic() - started < 15


SPEAKS = """
import sys
from pipeline.distributed import start_deadline
start_deadline.SAID_SECONDS = 0.5
start_deadline.main(int(sys.argv[1]), 1.8, 0.4, "error: it hangs")
"""


@pytest.mark.slow
@pytest.mark.parametrize("reads", [True, False])
def test_every_ten_seconds_it_is_said_how_long_ray_is_waited_for(reads: bool) -> None:
    hanging = subprocess.Popen(["sleep", "60"])
    unread, end = os.pipe()
    os.close(unread)  # so that writing to the other end is an error
    watching = subprocess.Popen(
        [sys.executable, "-c", SPEAKS, str(hanging.pid)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE if reads else end,
        text=True,
    )
    os.close(end)
    with watching:
        assert hanging.wait(60) == -signal.SIGKILL
        if watching.stderr:
            *waits, last = watching.stderr.read().splitlines()
            assert set(waits) <= {f"waiting for Ray: {n} s of at most 2 s" for n in (0, 1, 2)}
            assert (len(waits), last) == (3, "error: it hangs")
    assert watching.returncode == 0
