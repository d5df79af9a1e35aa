"""Two drivers and one storage: the second is refused, by name, and the first loses nothing."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from typer import BadParameter

from pipeline.cli import options
from pipeline.common import locks, paths, this_process
from pipeline.common.errors import PipelineError
from pipeline.distributed.compute import Compute
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from pipeline.runs import identity, run_folder, storage_lock
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_folder import MARK
from pipeline.runs.storage_lock import Lease
from pipeline.stages import convert, split
from pipeline.stages import train as train_stage
from pipeline.trials import dataset
from pipeline.trials.tuner import TrialCompute
from tests.helpers.checkout import CUT, ROOT, Vaepipe

NAMED = r"process \d+ on \S+ since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d"
HOLDER = """
import sys
{setup}
with {hold}:
    print("held", flush=True)
    input()
"""


@contextmanager
def another(setup: str, hold: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, in another workspace, that holds something."""
    code = HOLDER.format(hold=hold, setup=setup)
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True, cwd="/") as other:
        try:
            assert other.stdout
            assert other.stdout.readline() == "held\n"
            yield other
        finally:
            other.kill()


def refuse(holder: str) -> NoReturn:
    raise PipelineError(f"taken by {holder}")


def taken(storage: object, name: str = "run") -> str:
    """Who holds it; empty where nobody does."""
    try:
        with storage_lock.locked(str(storage), name, refuse):
            return ""
    except PipelineError as error:
        return str(error)


def test_the_same_run_from_another_workspace_is_refused(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what the first driver left in the storage stays as it was."""
    convert.run(*CUT)
    split.run()
    monkeypatch.setattr(identity, "run_hash", lambda *_: "abc")
    storage = raw / "shared"
    checkpoints = Checkpoints(str(storage), "abc", paths.COLOURS)
    mark = checkpoints.mark()
    before = sorted(storage.rglob("*"))
    read = params.read(ROOT / "params.yaml")
    with another("from pipeline.runs import identity", f"identity.locked({str(storage)!r}, 'abc')") as other:
        with pytest.raises(PipelineError, match=rf"^run abc is being trained by process {other.pid} on .*$"):
            train_stage.run(0.0, read.model, read.train, Compute(storage=str(storage)))
        locked = {storage / "abc.lock", storage / "abc.holder"}
        assert sorted(set(storage.rglob("*")) - locked) == before
    checkpoints.check_shared(mark, "here")
    assert not taken(storage, "abc")  # the kernel let go


@pytest.mark.slow
def test_the_trials_of_a_storage_are_one_driver_s(workspace: Path) -> None:
    storage = workspace / "shared"
    setup = "from pipeline.trials import dataset\nfrom pipeline.trials.tuner import TrialCompute"
    hold = f"dataset.locked(TrialCompute(storage={str(storage)!r}))"
    (workspace / "there").mkdir()
    setup += f"\nimport os; os.chdir({str(workspace / 'there')!r})"
    machines = TrialCompute(storage=str(storage))
    with another(setup, hold) as other:
        said = (
            rf"^--storage .*/shared: trials there are being run by process {other.pid} on .* other --storage$"
        )
        with pytest.raises(PipelineError, match=said), dataset.locked(machines):
            pass
        with dataset.locked(TrialCompute()):  # elsewhere they may be run
            pass
    with dataset.locked(machines):
        pass


def test_trials_of_a_bucket_with_settings_are_in_its_folder() -> None:
    """What follows the ? are settings of the connection."""
    uri = "s3://ours/vaepipe?scheme=http&endpoint_override=127.0.0.1:9"
    assert TrialCompute(storage=uri).checkpoints() == uri.replace("vaepipe?", "vaepipe/trials?")
    assert TrialCompute(storage="/a?b/").checkpoints() == "/a?b/trials"


def test_each_driver_has_a_mark_of_its_own(tmp_path: Path) -> None:
    folder = Checkpoints(str(tmp_path), "run", ("red",))
    first = folder.mark()
    assert [p.name for p in (tmp_path / "run").iterdir()] == [f"{MARK}-{first}"]
    folder.tidy()  # by whoever holds the run now: the first was killed
    with folder.marked() as second:
        assert [p.name for p in (tmp_path / "run").iterdir()] == [f"{MARK}-{second}"]
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ckpt", "/here/ckpt"),
        ("./ckpt", "/here/ckpt"),
        ("~/ckpt", "/home/me/ckpt"),
        ("/ckpt", "/ckpt"),
        ("s3://ours/x", "s3://ours/x"),
        ("", None),
        (None, None),
    ],
)
def test_storage_is_a_folder_or_a_uri(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str | None
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr(os, "getcwd", lambda: "/here")
    assert options._storage(given) == expected
    with pytest.raises(BadParameter, match="'~nobody-there/x': there is no such home"):
        options._storage("~nobody-there/x")


def test_a_relative_storage_is_taken_from_the_option_and_the_variable(
    workspace: Path, vaepipe: Vaepipe
) -> None:
    workspaces.create(workspace / "w")
    os.chdir("w")
    assert vaepipe("runs", "--storage", "ckpt").stdout == f"no runs in {Path.cwd() / 'ckpt'}\n"
    assert vaepipe("runs", VAEPIPE_STORAGE="./ckpt").stdout == f"no runs in {Path.cwd() / 'ckpt'}\n"


# Leases: what object stores have, and file systems without locks.


@pytest.fixture
def leased(monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems have no locks, and leases are short."""

    @contextmanager
    def none(path: Path, taken: Callable[[str], None]) -> Iterator[None]:
        raise locks.NoLocks("no locks")
        yield

    monkeypatch.setattr(locks, "locked", none)
    for name, seconds in (("SETTLED", 0.05), ("RENEWED", 0.05), ("STALE", 0.4)):
        monkeypatch.setattr(storage_lock, name, seconds)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called on, this process is on another machine."""
    return lambda: monkeypatch.setattr(this_process, "machine", lambda: "another")


def test_a_file_system_without_locks_gets_a_lease(
    tmp_path: Path, leased: None, elsewhere: Callable[[], None]
) -> None:
    with storage_lock.locked(str(tmp_path), "run", refuse) as check:
        assert (tmp_path / "run.lease").exists()
        elsewhere()
        assert re.fullmatch(f"taken by {NAMED}", taken(tmp_path))
        time.sleep(0.6)  # longer than a lease counts that is not renewed
        assert re.fullmatch(f"taken by {NAMED}", taken(tmp_path))
        check()
    assert run_folder.names(str(tmp_path)) == []
    assert not (tmp_path / "run.lease").exists()


def test_a_file_lock_that_the_system_does_not_know_is_a_lock_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(*_: object) -> NoReturn:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(locks.NoLocks, match="has no locks"), locks.locked(tmp_path / "x", refuse):
        pass


def abandoned(storage: Path, process: int) -> Lease:
    """A lease that nobody renews, of a process of this machine."""
    lease = Lease(str(storage), "run")
    lease._write()
    about = json.loads((storage / "run.lease").read_text()) | {"process": process}
    (storage / "run.lease").write_text(json.dumps(about))
    return lease


def test_a_lease_of_a_process_that_is_gone_is_taken_over_at_once(tmp_path: Path, leased: None) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    abandoned(tmp_path, gone.pid)
    assert not taken(tmp_path)
    abandoned(tmp_path, os.getpid())
    assert taken(tmp_path)


def test_a_lease_of_another_machine_counts_until_it_is_stale(
    tmp_path: Path, leased: None, elsewhere: Callable[[], None]
) -> None:
    abandoned(tmp_path, os.getpid())
    elsewhere()
    assert taken(tmp_path)
    time.sleep(0.5)
    assert not taken(tmp_path)


def test_who_loses_a_lease_stops_with_a_line(tmp_path: Path, leased: None) -> None:
    with storage_lock.locked(str(tmp_path), "run", refuse) as check:
        about = json.loads((tmp_path / "run.lease").read_text())
        (tmp_path / "run.lease").write_text(
            json.dumps(about | {"driver": "another", "holder": "process 1 on b"})
        )
        time.sleep(0.3)
        with pytest.raises(PipelineError, match=r"process 1 on b has taken over .*run\.lease, as if this"):
            check()
    assert json.loads((tmp_path / "run.lease").read_text())["driver"] == "another"


def test_a_lease_that_cannot_be_renewed_stops_the_driver(
    tmp_path: Path, leased: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> NoReturn:
        raise OSError("no route to host")

    with storage_lock.locked(str(tmp_path), "run", refuse) as check:
        monkeypatch.setattr(Lease, "_read", fail)
        time.sleep(0.6)
        with pytest.raises(PipelineError, match="could not be renewed for 0 s, so another"):
            check()


def test_of_two_that_find_no_lease_one_wins(tmp_path: Path, leased: None) -> None:
    """The other one wrote its own while the first waited for what was under way."""
    first = Lease(str(tmp_path), "run")
    pause = time.sleep

    def meanwhile(seconds: float) -> None:
        pause(seconds)
        Lease(str(tmp_path), "run")._write()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("time.sleep", meanwhile)
        with pytest.raises(PipelineError, match="taken by process"):
            first.take(refuse)
