"""How a command ends: with its status, at once, whatever goes on around it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline.common import files, process_exit

CROWD = """
import subprocess, threading, time
from pipeline.common import process_exit

def come_and_go():
    for _ in range(50):
        subprocess.run(["sh", "-c", "true & wait"])  # children and their children, reaped at once

for _ in range(4):
    threading.Thread(target=come_and_go, daemon=True).start()
time.sleep({seconds})
process_exit.exit_now({status})
"""


@pytest.mark.parametrize("attempt", range(8))
def test_ending_cannot_fail_while_children_come_and_go(attempt: int) -> None:
    code = CROWD.format(seconds=0.02 * attempt, status=attempt % 2 * 3)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (attempt % 2 * 3, "", "")


@pytest.mark.parametrize(
    "fault",
    [
        "psutil.Process.name = lambda _: [][0]",
        "psutil.Process.children = lambda *_, **__: [][0]",
        "psutil.Process.kill = lambda _: [][0]",
        "sys.stdout.close()",
        "sys.stdout = sys.stderr = None",
        "r, w = os.pipe(); os.close(r); sys.stdout = os.fdopen(w, 'w'); print('unread')",
    ],
)
def test_no_fault_changes_the_status(fault: str) -> None:
    code = (
        "import os, subprocess, sys, psutil\nfrom pipeline.common import process_exit\n"
        f"subprocess.Popen(['sleep', '0.1'])\n{fault}\nprocess_exit.exit_now(7)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.slow
def test_what_was_said_is_heard_and_what_was_started_ends() -> None:
    code = (
        "import subprocess, sys\nfrom pipeline.common import process_exit\n"
        "print(subprocess.Popen(['sh', '-c', 'sleep 60 & sleep 60']).pid); sys.stderr.write('said')\n"
        "process_exit.exit_now(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "said")
    limit = time.monotonic() + 5
    while psutil.pid_exists(int(done.stdout)):
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_a_process_that_is_gone_has_no_name_and_has_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        seen = psutil.Process(child.pid)
        assert process_exit.name(seen) == "sleep"
        assert not process_exit.has_ended(seen)
        process_exit.kill(seen)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process_exit.has_ended(seen)  # not reaped yet
    assert process_exit.name(psutil.Process(os.getpid()))
    assert (process_exit.name(seen), process_exit.has_ended(seen)) in {("", True), ("sleep", True)}
    process_exit.kill(seen)  # nothing happens


def test_what_another_process_removes_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes find the same leftover, and one of them is a moment late."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    for left in (f".{name}.{files._owner()}-{gone.pid}.part" for name in "ab"):
        (tmp_path / left).mkdir() if left.startswith(".b") else (tmp_path / left).touch()
    unlink = Path.unlink

    def late(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok)
        if str(gone.pid) in path.name:
            raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "unlink", late)
    monkeypatch.setattr("shutil.rmtree", lambda path, ignore_errors: Path(path).rmdir())
    for name in ("a", "b"):
        files.write_text(tmp_path / name, "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_nothing_is_said_after_the_last_word() -> None:
    """A thread of Ray's has a page to print for each process that it sees die."""
    code = (
        "import subprocess, sys, threading, time\nfrom pipeline.common import process_exit\n"
        "def talk():\n"
        "    while True:\n"
        "        if children[0].poll() is not None: print('a process died', file=sys.stderr, flush=True)\n"
        "        time.sleep(0.001)\n"
        "children = [subprocess.Popen(['sleep', '60']) for _ in range(20)]\n"
        "threading.Thread(target=talk, daemon=True).start()\nprint('the last word')\nprocess_exit.exit_now(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the last word\n", "")
