"""Who may do what with a Ray that is started here: somebody without its token, and another user."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.distributed import ray_folder
from tests.helpers import grpc_calls

pytestmark = pytest.mark.slow

RAY = """
import json, os, sys
from pipeline.common import process_exit
from pipeline.distributed import ray_session
out = sys.stdout
with ray_session.connected(None):
    import ray
    ray.get(ray.remote(lambda: 1).remote())  # a worker is there
    print(json.dumps({"token": os.environ["RAY_AUTH_TOKEN"], "pid": os.getpid()}), file=out, flush=True)
    sys.stdin.read()
process_exit.exit_now(0)
"""
# One that asks for little, of each service that Ray's processes offer.
METHODS = (
    "NodeInfoGcsService/GetAllNodeInfo",
    "NodeManagerService/GetSystemConfig",
    "ObjectManagerService/Pull",
    "CoreWorkerService/NumPendingTasks",
)
OTHER = 4711  # a user


@pytest.fixture(scope="module")
def session() -> Iterator[dict[str, Any]]:
    """A Ray that was started as `vaepipe train` does: its token, and the process that has it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    with subprocess.Popen(
        [sys.executable, "-c", RAY],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout
        yield json.loads(running.stdout.readline())
        running.communicate("")


def processes(session: dict[str, Any]) -> list[psutil.Process]:
    own = psutil.Process(session["pid"])
    return [own, *own.children(recursive=True)]


def listening(session: dict[str, Any]) -> set[int]:
    found = set()
    for process in processes(session):
        for each in process.net_connections("inet"):
            if each.status == psutil.CONN_LISTEN:
                assert each.laddr.ip.removeprefix("::ffff:") == "127.0.0.1"
                found.add(each.laddr.port)
    return found


def test_the_token_is_in_no_file_and_no_command(session: dict[str, Any]) -> None:
    for process in processes(session):
        assert session["token"] not in " ".join(process.cmdline())  # which everybody may read
    logs = [path for path in ray_folder.choose().rglob("*") if path.is_file()]
    assert len(logs) > 5
    assert not [path for path in logs if session["token"].encode() in path.read_bytes()]


def test_no_port_does_anything_without_the_token(session: dict[str, Any]) -> None:
    ports = listening(session)
    assert len(ports) >= 5  # of the GCS, the raylet (2), the driver and a worker, and an agent
    found: Counter[str] = Counter()
    for port in ports:
        with_it = {method: grpc_calls.call(port, method, session["token"]) for method in METHODS}
        known = [method for method, status in with_it.items() if status == grpc_calls.OK]
        if known:
            wrong = session["token"][::-1]
            for method in known:
                assert grpc_calls.call(port, method) == grpc_calls.UNAUTHENTICATED
                assert grpc_calls.call(port, method, wrong) == grpc_calls.UNAUTHENTICATED
            found["gRPC"] += 1
        else:
            assert set(with_it.values()) == {None}
            for path in ("", "api/job_agent/jobs/", "get_or_create_runtime_env"):
                for data in (None, b"{}"):
                    with pytest.raises(urllib.error.HTTPError) as refused:
                        urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", data, timeout=10)
                    assert refused.value.code == 401
            found["HTTP"] += 1
    assert found["gRPC"] >= 5


def as_another(act: Callable[[], object]) -> str:
    """Do something as another user; return what came of it: `done`, or the kind of the error."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        said = "done"
        try:
            os.setgroups([])
            os.setgid(OTHER)
            os.setuid(OTHER)
            act()
        except BaseException as error:
            said = type(error).__name__
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        return pipe.read()


def connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(path)


def entries(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_reaches_no_folder_no_socket_and_no_token(session: dict[str, Any]) -> None:
    folder = ray_folder.choose()
    sockets = {
        str(each.laddr)
        for process in processes(session)
        for each in process.net_connections("unix")
        if each.laddr
    }
    ours = {path for path in sockets if Path(path).is_socket()}
    assert any(path.startswith(str(folder)) for path in ours)
    assert all(path.startswith(str(folder.parent)) for path in ours)
    assert not {path for path in sockets if path.startswith(("@", "\0"))}  # in no folder: for everybody
    for path in ours:
        connect(path)  # as the owner may
        assert as_another(partial(connect, path)) == "PermissionError"
    for place in (folder.parent, folder, folder / "session_latest"):
        assert as_another(partial(entries, place)) == "PermissionError"
        assert as_another((place / "mine").touch) == "PermissionError"
    assert as_another(lambda: folder.parent.rename(folder.parent.with_name("gone"))) == "PermissionError"
    for process in processes(session):
        environment = Path(f"/proc/{process.pid}/environ")
        assert as_another(environment.read_bytes) in ("PermissionError", "ProcessLookupError")
