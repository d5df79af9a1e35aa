"""What is said while a cluster's CPUs or GPUs are taken."""

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.common import machine_limits, progress
from pipeline.common.errors import PipelineError
from pipeline.distributed import start_wait
from pipeline.distributed.ray_session import Session
from pipeline.distributed.start_wait import Seen, StartWait, sentence
from pipeline.experiment import workspace as workspaces
from pipeline.stages import convert, split
from tests.helpers.checkout import CUT

TAKEN = Seen({"CPU": 2.0, "GPU": 1.0}, {"GPU": 0.5}, ["process 4711 on 10.0.0.1 (python mine.py)"])


@pytest.mark.parametrize(
    ("each", "seen", "said"),
    [
        (
            {"CPU": 0.6666, "GPU": 0},
            TAKEN,
            "waiting for 3 ranks of 0.6666 CPU each: 0 of 2 CPUs are free; "
            "other drivers on this cluster: process 4711 on 10.0.0.1 (python mine.py)",
        ),
        (
            {"CPU": 1, "GPU": 1},
            Seen(TAKEN.total, TAKEN.free, []),
            "waiting for 3 ranks of 1 CPU and 1 GPU each: 0 of 2 CPUs are free, 0.5 of 1 GPUs are free; "
            "`ray status` tells more",
        ),
    ],
)
def test_the_sentence(each: dict[str, float], seen: Seen, said: str) -> None:
    assert sentence("3 ranks", each, seen) == said


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was said; Ray and the clock are stand-ins. A first entry is the time."""
    said: list[str] = []
    group = {"state": "PENDING", "bundles": {0: {"CPU": 0.5}}}
    monkeypatch.setattr(start_wait, "placement_group_table", lambda: {"abc": group})
    monkeypatch.setattr(start_wait, "_seen", lambda: TAKEN)
    monkeypatch.setattr(progress.console, "print", lambda text, **_: said.append(text))
    return said


def after(
    seconds: float,
    each: dict[str, float],
    heard: list[str],
    *,
    begun: Callable[[int], bool] = lambda second: False,
    joined: bool = True,
) -> int:
    """How often something was said so far, by one who waits and looks every second."""
    with pytest.MonkeyPatch.context() as patch:
        now = time.monotonic()
        watch = StartWait("3 ranks", each, Session(joined=joined))
        for second in range(int(seconds) + 1):
            patch.setattr("time.monotonic", lambda passed=second: now + 0.01 + passed)
            watch.look(begun=begun(second))
            for thread in threading.enumerate():
                if thread.name == "waiting":
                    thread.join()
    return len(heard)


@pytest.mark.parametrize(("seconds", "times"), [(8, 0), (11, 1), (69, 1), (72, 2), (135, 3)])
def test_it_is_said_after_ten_seconds_and_every_minute(heard: list[str], seconds: int, times: int) -> None:
    assert after(seconds, {"CPU": 0.5, "GPU": 0}, heard) == times
    assert all(re.search(r"^waiting for 3 ranks .* \(\d+ s so far\)$", text) for text in heard)


def test_of_what_has_begun_nothing_is_said_and_of_what_has_its_place_that_it_starts(heard: list[str]) -> None:
    assert after(20, {"CPU": 0.5}, heard, begun=lambda second: True) == 0
    after(20, {"CPU": 1.0}, heard)  # another driver's group is pending, not this one's
    assert heard == ["waiting for the processes of 3 ranks (10 s so far)"]


def test_what_ray_does_not_tell_harms_nobody(heard: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    gone: dict[str, Seen] = {}
    monkeypatch.setattr(start_wait, "_seen", lambda: gone["gone"])
    assert after(11, {"CPU": 0.5}, heard) == 1
    assert heard[0].startswith("waiting for 3 ranks; Ray does not tell what for (KeyError)")


def test_processes_that_never_start_are_given_up_on_this_machine_alone(
    heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_limits, "processes", lambda: (290, 300))
    assert after(310, {"CPU": 1.0}, heard, begun=lambda second: True, joined=False) == 0
    with pytest.raises(
        PipelineError, match=r"^3 ranks: none has begun within 300 s \(only 300 processes and"
    ):
        after(310, {"CPU": 1.0}, heard, joined=False)
    assert heard[0].startswith("waiting for the processes of 3 ranks (only 300 processes and")
    before = len(heard)
    assert after(1000, {"CPU": 1.0}, heard) > before + 10  # a cluster is waited for without end


def test_on_this_machine_no_silence_is_longer_than_ten_seconds(
    heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_limits, "processes", lambda: (290, None))
    monkeypatch.setattr(start_wait, "placement_group_table", lambda: pytest.fail("Ray may hang"))
    after(45, {"CPU": 0.5}, heard, joined=False)
    assert heard == [
        f"waiting for the processes of 3 ranks ({seconds} s of at most 300 s)" for seconds in (10, 20, 30, 40)
    ]


def test_a_group_that_has_failed_is_waited_for_anew(heard: list[str]) -> None:
    after(335, {"CPU": 0.5}, heard, begun=lambda second: 5 <= second < 310, joined=False)
    assert [line.partition(" (")[2][:4] for line in heard] == ["10 s", "20 s"]
    assert heard[0].endswith(" of at most 300 s)")


# Ray listens on all addresses whatever it is told, so it answers only to who knows this.
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
GREEDY = """
import ray, sys, time
ray.init(sys.argv[1], log_to_driver=False)

@ray.remote(num_cpus=2)
class Greedy:
    def here(self):
        return True

greedy = Greedy.remote()
ray.get(greedy.here.remote())
print("taken", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def busy() -> Iterator[tuple[str, int]]:
    """A cluster of two CPUs, on this machine's loopback, and the process that has them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(f"/tmp/vw{os.getpid()}")
    environment = os.environ | TOKEN | {"RAY_TMPDIR": str(folder)}
    local = ["--head", "--block", "--node-ip-address=127.0.0.1", f"--port={port}"]
    small = ["--num-cpus=2", "--num-gpus=0", "--include-dashboard=false", "--object-store-memory=100000000"]
    head = subprocess.Popen(
        ["ray", "start", *local, *small],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"127.0.0.1:{port}"
    try:
        limit = time.monotonic() + 60
        while True:
            greedy = subprocess.Popen(
                [sys.executable, "-c", GREEDY, address], env=environment, stdout=subprocess.PIPE, text=True
            )
            assert greedy.stdout
            if greedy.stdout.readline() == "taken\n":
                break
            assert time.monotonic() < limit
        yield address, greedy.pid
        greedy.kill()
        greedy.wait()
    finally:
        for process in (*psutil.Process(head.pid).children(recursive=True), head):
            with suppress(psutil.NoSuchProcess):  # some end with those that were killed before
                process.kill()
        head.wait()
        subprocess.run(["rm", "-rf", folder], check=False)


@pytest.mark.day
@pytest.mark.parametrize("command", [["train"], ["study", "seeds"]])
def test_a_cluster_whose_cpus_are_taken(raw: Path, busy: tuple[str, int], command: list[str]) -> None:
    address, greedy = busy
    convert.run(*CUT)
    split.run()
    changes: dict[str, dict[str, Any]] = {
        "model": {"latent": 2, "hidden": [4]},
        "train": {"epochs": 1, "batch_size": 50},
    }
    workspaces.create(raw / "w", changes, git=False)
    (raw / "data").rename(raw / "w/data")
    log = raw / "log"
    with log.open("w") as file:
        driver = subprocess.Popen(
            ["vaepipe", *command, "--address", address],
            cwd=raw / "w",
            env=os.environ | TOKEN,
            stdout=file,
            stderr=file,
        )
    try:
        limit = time.monotonic() + 90
        while "waiting for" not in log.read_text():
            assert driver.poll() is None, log.read_text()
            assert time.monotonic() < limit, log.read_text()
            time.sleep(0.2)
    finally:
        driver.send_signal(signal.SIGINT)
        driver.wait(30)
    said = log.read_text()
    what = r"3 ranks of 0\.6666 CPU" if command == ["train"] else "trials of 1 CPU"
    assert re.search(
        rf"waiting for {what} each: 0 of 2 CPUs are free; other drivers on this cluster: "
        rf"process {greedy} on \S+ \(python\S* -c .*\) \([1-5]\d s so far\)",
        said,
    ), said
