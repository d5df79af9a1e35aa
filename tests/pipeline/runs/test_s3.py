"""Checkpoints and DVC's remote on S3: a server of its kind on this machine's loopback."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from pipeline.common import paths, this_process
from pipeline.common.errors import PipelineError
from pipeline.experiment import workspace as workspaces
from pipeline.runs import identity, run_folder, storage_lock
from pipeline.runs.checkpoints import KEPT, Checkpoints
from pipeline.runs.run_folder import RunFolder
from pipeline.runs.storage_lock import Lease
from pipeline.stages import convert, split
from tests.helpers.checkout import CUT, Vaepipe
from tests.helpers.models import model, square, start

pytestmark = pytest.mark.slow


KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
COLOURS = ("red", "green", "blue")


def serve(*, check_keys: bool) -> tuple[subprocess.Popen[bytes], str]:
    """A server and its address. With `check_keys` it refuses everybody, since it knows nobody."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    actions = {"INITIAL_NO_AUTH_ACTION_COUNT": "0"} if check_keys else {}
    server = subprocess.Popen(
        [Path(sys.executable).with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | actions,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return server, f"127.0.0.1:{port}"
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a server with the bucket `ours`."""
    server, address = serve(check_keys=False)
    try:
        client = boto3.client(
            "s3",
            endpoint_url=f"http://{address}",
            region_name="us-east-1",
            aws_access_key_id="someone",
            aws_secret_access_key="secret",
        )
        client.create_bucket(Bucket="ours")
        yield address
    finally:
        server.kill()
        server.wait()


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)


def uri(address: str, folder: str = "ours/vaepipe") -> str:
    return f"s3://{folder}?scheme=http&endpoint_override={address}"


def test_checkpoints_are_kept_as_on_a_disk(address: str) -> None:
    checkpoints = Checkpoints(uri(address), "run", COLOURS)
    states = [start(colour, square(6), model(latent=2, hidden=(4,))) for colour in COLOURS]
    assert checkpoints.latest() == 0
    for epoch in range(1, KEPT + 3):
        for state in states:
            state.epoch = epoch
            checkpoints.save(state)
    checkpoints.prune(KEPT + 2)
    assert checkpoints.epochs() == list(range(3, KEPT + 3))
    assert checkpoints.latest() == KEPT + 2
    loaded = checkpoints.load(KEPT + 2, "green")
    assert all((loaded.weights[name] == tensor).all() for name, tensor in states[1].weights.items())
    checkpoints.describe(images=7)
    assert RunFolder(uri(address), "run").about() == {"images": 7}
    assert run_folder.names(uri(address)) == ["run"]
    checkpoints.check_shared(checkpoints.mark(), "here")
    with pytest.raises(PipelineError, match="node here does not see what the driver writes"):
        checkpoints.check_shared("another", "here")
    checkpoints.delete()
    assert run_folder.names(uri(address)) == []


def test_a_run_in_a_bucket_has_one_driver(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a lease, since a bucket has no locks; its age is told by the server's clock."""
    for name, seconds in (("SETTLED", 0.1), ("RENEWED", 0.5), ("STALE", 3.5)):
        monkeypatch.setattr(storage_lock, name, seconds)
    storage = uri(address, "ours/held")
    with identity.locked(storage, "abc") as check:
        check()
        monkeypatch.setattr(this_process, "machine", lambda: "another")
        with (
            pytest.raises(PipelineError, match=r"^run abc is being trained by process \d+ on \S+ since "),
            identity.locked(storage, "abc"),
        ):
            pass
        assert run_folder.names(storage) == []  # a lease is no run
    Lease(storage, "abc")._write()  # of a driver that died on a third machine
    monkeypatch.setattr(this_process, "machine", lambda: "a third")
    with pytest.raises(PipelineError, match="is being trained"), identity.locked(storage, "abc"):
        pass
    time.sleep(4.5)  # S3 tells whole seconds
    with identity.locked(storage, "abc") as check:
        check()


@pytest.fixture
def ready(raw: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that is ready to train."""
    convert.run(*CUT)
    split.run()
    workspaces.create(raw / "w", git=False)
    (raw / "data").rename(raw / "w/data")
    monkeypatch.chdir(raw / "w")
    return raw / "w"


def test_a_bucket_that_is_not_there(ready: Path, address: str, vaepipe: Vaepipe) -> None:
    done = vaepipe("train", "--storage", uri(address, "theirs/vaepipe"))
    assert done.returncode == 1
    assert re.match(
        r"error: --storage s3://theirs/vaepipe\?\S+: cannot be written: .*theirs.*\n$", done.stderr
    )
    assert not paths.MODELS.exists()


def test_keys_that_are_wrong(ready: Path, vaepipe: Vaepipe) -> None:
    server, address = serve(check_keys=True)
    try:
        done = vaepipe("train", "--storage", uri(address))
    finally:
        server.kill()
        server.wait()
    assert done.returncode == 1
    assert re.match(r"error: --storage s3://ours/vaepipe\?\S+: cannot be \w+: .*\n$", done.stderr)
    assert re.search("ACCESS_DENIED|INVALID|denied|Forbidden|security token|403", done.stderr)
    assert not paths.MODELS.exists()


def test_dvc_pushes_and_pulls(ready: Path, address: str) -> None:
    def dvc(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    dvc("remote", "add", "--default", "ours", "s3://ours/dvc")
    dvc("remote", "modify", "ours", "endpointurl", f"http://{address}")
    dvc("repro", "prepare")
    dvc("commit", "--force", "convert", "split")
    dvc("push", "split")
    kept = paths.channel("red").read_bytes()
    for path in (ready / ".dvc/cache", ready / paths.CHANNELS):
        subprocess.run(["rm", "-rf", path], check=True)
    dvc("pull", "split")
    assert paths.channel("red").read_bytes() == kept
