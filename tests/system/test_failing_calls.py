"""A few of the calls of each command fail; `make faults` tries all of them."""

import json
import subprocess
import sys

import pytest

from tests.helpers.checkout import ROOT


@pytest.mark.day
def test_each_failing_call_is_one_line_and_nothing_is_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.system.faults", "--most", "6"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    tallies = json.loads(done.stdout)
    assert len(tallies) > 15
    assert [bad for tally in tallies.values() for bad in tally["bad"]] == []
    assert sum(count for tally in tallies.values() for count in tally["counts"].values()) > 80
