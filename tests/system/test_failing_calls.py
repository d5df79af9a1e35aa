"""A few of the calls of each command fail; `make faults` tries all of them."""

import subprocess
import sys

import pytest

from tests.helpers.checkout import ROOT


@pytest.mark.day
def test_each_failing_call_is_one_line_and_nothing_is_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.faults", "--most", "6", "--on-ray", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows, total = done.stdout.splitlines()
    assert head.split() == ["calls", "tried", "right", "one", "line", "killed", "bad"]
    assert len(rows) > 15
    _, tried, *good, bad = map(int, total.replace(",", "").split()[-6:])
    assert tried == sum(good) > 80
    assert bad == 0
