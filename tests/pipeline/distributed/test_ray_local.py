"""Ray, as it is started here: with what this process may use, wherever it has no home and no room."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from pipeline.common import machine_limits, process_exit
from pipeline.common.errors import Interrupted, PipelineError
from pipeline.common.machine_limits import Memory
from pipeline.distributed import object_store, ray_folder, ray_local, ray_session, start_deadline
from pipeline.doctor import checks

LONG = "x" * 80


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_too_long_for_sockets_gives_way_to_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / LONG))
    chosen = ray_folder.choose()
    assert len(str(chosen) + ray_folder.SOCKET) <= ray_folder.LONGEST
    assert not (tmp_path / LONG).exists()


def test_a_folder_of_this_user_s_own_that_nobody_else_may_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    own = f"ray-{os.getuid()}"
    assert ray_folder.choose() == Path("/tmp", own, "s")
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert ray_folder.choose() == Path("/var/tmp", own, "s")
    Path("/var/tmp", own).chmod(0o777)
    ray_folder.choose()
    assert Path("/var/tmp", own).stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("TMPDIR", "/proc")
    assert ray_folder.choose() == Path("/tmp", own, "s")


def test_no_folder_at_all_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_folder, "_folders", lambda: iter([Path("/tmp", LONG), Path("/proc/ray")]))
    with pytest.raises(PipelineError, match=r"no folder for its sockets: .* is longer than 4") as said:
        ray_folder.choose()
    assert "/proc/ray cannot be used (" in str(said.value)
    assert str(said.value).endswith("; set RAY_TMPDIR to a short folder of your own")
    assert "\n" not in str(said.value)
    assert checks.ray_folder(*ray_folder.look()).status == "problem"


def test_a_folder_without_room_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda path: SimpleNamespace(free=10**9 if Path("/var") in path.parents else 200_000),
    )
    assert ray_folder.choose() == Path("/var/tmp", f"ray-{os.getuid()}", "s")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=200_000))
    with pytest.raises(PipelineError, match=r"/tmp/ray-\d+ has 200,000 bytes free, of 50,000,000 that are"):
        ray_folder.choose()


def test_another_user_s_folder_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    theirs = Path(f"/tmp/ray-{os.getpid()}-test")
    theirs.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    try:
        assert ray_folder._trouble(theirs) == "is another user's"
    finally:
        theirs.rmdir()


@pytest.mark.parametrize("mode", [None, "token", "disabled"])
def test_a_token_of_this_ray_s_own(monkeypatch: pytest.MonkeyPatch, mode: str | None) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ) | ({"RAY_AUTH_MODE": mode} if mode else {}))
    ray_local._choose_token()
    assert "RAY_AUTH_MODE" not in os.environ
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_a_token_that_a_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ) | {"RAY_AUTH_TOKEN_PATH": "/home/me/token"})
    ray_local._choose_token()
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_ray_is_given_what_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_limits, "cores", lambda: 3)
    monkeypatch.setattr(machine_limits, "gpus", lambda: 2)
    monkeypatch.setattr(machine_limits, "memory", lambda: Memory(64 * 10**9, 40 * 10**9, limited=False))
    assert ray_local.resources() == {"num_cpus": 3, "num_gpus": 2}
    monkeypatch.setattr(machine_limits, "memory", lambda: Memory(8 * 10**9, 4 * 10**9, limited=True))
    assert ray_local.resources()["object_store_memory"] == int(1.2 * 10**9)
    monkeypatch.setattr(machine_limits, "memory", lambda: Memory(10**8, 10**8, limited=True))
    assert ray_local.resources()["object_store_memory"] == object_store.LEAST


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What `ray.init` raises, one after the other; each try leaves a process behind."""
    raised: list[Exception] = []

    def init(*_: Any, **__: Any) -> None:
        subprocess.Popen(["sleep", "600"])
        if raised:
            raise raised.pop(0)

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return raised


def sleepers() -> list[psutil.Process]:
    children = psutil.Process().children()
    return [
        child
        for child in children
        if process_exit.name(child) == "sleep" and not process_exit.has_ended(child)
    ]


def test_a_start_that_fails_is_tried_once_more(failing: list[Exception]) -> None:
    failing.append(Exception("The current node timed out during startup.\nPages."))
    ray_local.start()
    [left] = sleepers()  # of the second try
    left.kill()
    left.wait()


def test_a_start_that_fails_twice_is_one_line(
    failing: list[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    failing += [OSError("AF_UNIX path length\nPages."), Exception("")]
    with pytest.raises(PipelineError, match=r"^Ray cannot start: Exception; run the command again$"):
        ray_local.start()
    assert not sleepers()
    assert "Ray did not start: AF_UNIX path length; trying once more" in capsys.readouterr().err


def test_a_setting_that_is_wrong_is_not_tried_again(failing: list[Exception]) -> None:
    failing += [ValueError("no"), ValueError("never")]
    with pytest.raises(PipelineError, match=r"^Ray cannot start: no;"):
        ray_local.start()


@pytest.mark.parametrize(
    ("address", "variable", "said"),
    [
        ("http://big:8265", "RAY_ADDRESS", r"RAY_ADDRESS=http://big:8265: .*dashboard.* such as big:6379"),
        ("big:8265", "", r"--address big:8265: .*dashboard.* such as big:6379"),
        ("https://big/x", "VAEPIPE_ADDRESS", r"VAEPIPE_ADDRESS=https://big/x: .*dashboard"),
        ("127.0.0.1:9", "RAY_ADDRESS", r"RAY_ADDRESS=127.0.0.1:9: no Ray .* or unset RAY_ADDRESS to train"),
        ("127.0.0.1:9", "VAEPIPE_ADDRESS", r"VAEPIPE_ADDRESS=127.* or unset VAEPIPE_ADDRESS to train"),
        ("127.0.0.1:9", "", r"--address 127.0.0.1:9: no Ray .* or leave the option out to train"),
    ],
)
def test_an_address_is_named_by_where_it_came_from(
    monkeypatch: pytest.MonkeyPatch, address: str, variable: str, said: str
) -> None:
    for name in ray_session.ADDRESS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, address)
    else:
        monkeypatch.setenv("RAY_ADDRESS", "another:6379")  # the option counts before it
    with pytest.raises(PipelineError, match=said):
        ray_session._join(address, {})


def test_sigterm_while_ray_starts_is_a_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(*_: Any, **__: Any) -> None:
        time.sleep(3 * ray_local.LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)

    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(number))  # as Ray sets one
    try:
        with pytest.raises(Interrupted, match=r"^interrupted while Ray was starting: run the same command"):
            ray_local.start()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_start_that_takes_too_long_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.init", lambda *_, **__: time.sleep(600))
    monkeypatch.setattr(ray_local, "START_SECONDS", 0.2)
    monkeypatch.setattr(machine_limits, "processes", lambda: (40, 150))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    with pytest.raises(PipelineError, match=r"not ready within 0 s \(only 150 processes and threads may run"):
        ray_local.start()


@pytest.mark.parametrize("asks", [True, False])
def test_a_cluster_that_asks_for_no_token_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], asks: bool
) -> None:
    monkeypatch.setattr("ray.init", lambda *_, **__: None)
    monkeypatch.setattr(ray_session, "is_token_auth_enabled", lambda: asks)
    ray_session._join("auto", {})
    said = capsys.readouterr().err
    assert ("asks for no token, so whoever reaches its ports can run code on it" in said) != asks


@pytest.mark.parametrize(
    ("joined", "installed", "override", "usable", "offered", "said"),
    [
        (False, 3, None, 0, (0,), "warning: 3 GPUs in this machine, of which torch can use none"),
        (False, 3, None, 2, (2,), "warning: 3 GPUs in this machine, of which torch can use 2"),
        (False, 0, 3, 0, (0,), "warning: 3 GPUs in this machine, of which torch can use none"),
        (False, 3, None, 3, (3,), ""),
        (False, 0, None, 0, (0,), ""),
        (True, 0, 3, 0, (3,), ""),  # other machines' torch is not this one's
    ],
)
def test_gpus_that_torch_cannot_use_are_none(
    joined: bool,
    installed: int,
    override: int | None,
    usable: int,
    offered: tuple[int, ...],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ray counts what it is told, unless its own variable says otherwise."""
    monkeypatch.setattr(machine_limits, "gpus", lambda: usable)
    monkeypatch.setattr(machine_limits, "gpus_installed", lambda: installed)
    counted = ray_local.resources()["num_gpus"] if override is None else override
    nodes = [{"Alive": True, "Resources": {"CPU": 8.0, "GPU": float(counted)}}]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    monkeypatch.setattr(ray_session, "autoscaler_gpus", lambda config: 0)
    session = ray_session.Session(joined)
    offer = ray_session.cluster_resources(session)
    assert (offer.node_gpus, offer.gpu_limit) == (offered, sum(offered))
    shown = capsys.readouterr().err
    assert said in shown
    assert bool(said) == bool(shown)


REAL = """
import json, os, sys
from pipeline.common import process_exit
from pipeline.distributed import ray_session
out = sys.stdout
with ray_session.connected(None) as session:
    import ray
    offer = ray_session.cluster_resources(session)
    token = os.environ["RAY_AUTH_TOKEN"]
    same = ray.get(ray.remote(lambda: os.environ.get("RAY_AUTH_TOKEN") == token).remote())
    print(json.dumps({"cpus": offer.node_cpus, "same": same}), file=out)
process_exit.exit_now(0)
"""


@pytest.mark.slow
def test_one_core_no_home_and_a_long_temporary_folder(tmp_path: Path) -> None:
    """A real Ray: it has the cores of the CPU set, its processes know the token, and nothing is written."""
    long = tmp_path / LONG
    long.mkdir()
    nowhere = {"HOME": "/proc/nonexistent", "TMPDIR": str(long)}
    one = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    done = subprocess.run(
        [*one, sys.executable, "-c", REAL],
        env=os.environ | nowhere,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"cpus": [1.0], "same": True}


def test_a_cluster_that_does_not_answer_is_said_to_be_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ray.init", lambda *_, **__: time.sleep(0.5))
    monkeypatch.setattr(start_deadline, "SAID_SECONDS", 0.2)
    ray_session._join("auto", {})
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("waiting")]
    assert said
    assert set(said) == {"waiting for the Ray cluster of --address auto: 0 s so far; Ctrl-C ends it"}
