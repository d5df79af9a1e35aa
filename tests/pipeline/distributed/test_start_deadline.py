"""A process that cannot end itself is ended from outside, with a line."""

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
