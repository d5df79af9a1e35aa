"""Processes die, disks fill up, files do not fit each other: nothing is lost, nothing is half-written."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import images, store
from pipeline.distributed.compute import Compute
from pipeline.distributed.ray_session import Session
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from pipeline.runs import identity
from pipeline.runs.checkpoints import Checkpoints
from pipeline.stages import convert, merge, split
from pipeline.stages import train as train_stage
from tests.helpers.checkout import CUT, ROOT, Vaepipe
from tests.helpers.fits import TRAIN, fresh, last
from tests.helpers.fits import images as stacked
from tests.helpers.imports import modules
from tests.helpers.models import model, square, start
from vae.config import Sizes
from vae.fit import fit
from vae.modelfile import save_model
from vae.stack import initial_state

TINY = model(latent=2, hidden=(4,), activation="relu")
KILLED_AT_THE_FIRST_BLOCK = """
import contextlib, os, signal
from pipeline.data import store
from pipeline.stages import {stage}

@contextlib.contextmanager
def bar(*_):
    yield lambda done: os.kill(os.getpid(), signal.SIGKILL)

store.BLOCK = 64
{stage}.bar = bar
{stage}.run({arguments})
"""


@pytest.mark.parametrize(
    ("stage", "arguments", "out"),
    [("convert", "32, 0.1, 'hidden'", paths.IMAGES), ("split", "", paths.channel("red"))],
)
def test_a_stage_killed_in_the_middle_leaves_nothing_that_looks_whole(
    raw: Path, stage: str, arguments: str, out: Path
) -> None:
    convert.run(*CUT)
    expected = paths.IMAGES.read_bytes()
    if stage == "convert":
        paths.IMAGES.unlink()
    code = KILLED_AT_THE_FIRST_BLOCK.format(stage=stage, arguments=arguments)
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert list(out.parent.glob(".*.part"))  # what it was writing
    convert.run(*CUT)
    split.run()
    assert paths.IMAGES.read_bytes() == expected
    assert not list(out.parent.glob(".*.part"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], check=False)
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_named_and_left_as_it_was(
    raw: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (raw / "data").rename(raw / "whole")
    monkeypatch.chdir(small_disk)
    Path("data").mkdir()
    Path("data/raw").symlink_to(raw / "whole/raw")
    with pytest.raises(PipelineError, match=r"data/svhn.h5: cannot be written: .*No space left on device"):
        convert.run(*CUT)
    assert [p.name for p in Path("data").iterdir()] == ["raw"]


def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(small_disk: Path) -> None:
    checkpoints = Checkpoints(str(small_disk), "run", ("red",))
    [state] = last(fit(stacked("red"), fresh("red"), TRAIN))
    checkpoints.save(state)
    room = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(b"x" * (room.f_bavail * room.f_frsize - 4096))
    state.epoch += 1
    with pytest.raises(PipelineError, match=r"of epoch 5 cannot be written: No space left .*--storage"):
        checkpoints.save(state)
    assert checkpoints.latest() == 4
    assert not list(small_disk.rglob("*.part"))


@pytest.fixture
def merged(raw: Path) -> Path:
    """A workspace that is ready for merge, with models that were never trained."""
    convert.run(*CUT)
    split.run()
    paths.MODELS.mkdir()
    for component in paths.COLOURS:
        save_model(paths.model(component), start(component, square(32), TINY))
    paths.HISTORY.parent.mkdir()
    paths.HISTORY.write_text("epoch,component,split,cost,reconstruction,kl\n")
    return raw


def test_models_that_are_not_there_damaged_or_of_another_shape(merged: Path) -> None:
    read = params.read(ROOT / "params.yaml")
    green = paths.model("green")
    whole = green.read_bytes()
    save_model(green, start("green", square(20), TINY))
    with pytest.raises(
        PipelineError, match=r"green.safetensors: a model of 1x20x20, but the images are 1x32x32"
    ):
        merge.run(read)
    green.write_bytes(whole[:-7])
    with pytest.raises(PipelineError, match=r"green.safetensors: not a vaepipe model file, or damaged"):
        merge.run(read)
    green.unlink()
    with pytest.raises(PipelineError, match=r"green.safetensors: no such model file; run `dvc repro`"):
        merge.run(read)
    assert not paths.REPORT.exists()
    assert not paths.RECONSTRUCTIONS.exists()
    green.write_bytes(whole)
    merge.run(read)
    assert paths.REPORT.exists()


def test_a_history_that_is_not_there(merged: Path) -> None:
    paths.HISTORY.unlink()
    with pytest.raises(PipelineError, match=r"plots/training.csv: not found; run `dvc repro`"):
        merge.run(params.read(ROOT / "params.yaml"))


def test_channel_files_that_do_not_fit_each_other(merged: Path) -> None:
    with store.create(paths.channel("blue")) as file:
        for name, count in (("train", 199), ("test", 99)):
            dataset = file.create(name, (count, 32, 32), np.zeros(count, np.uint8))
            dataset[:] = 0
    said = r"blue.h5: images of \(\d+, 32, 32\), but data/channels/red.h5 has .*delete data/channels"
    with pytest.raises(PipelineError, match=said):
        images.load_training(paths.COLOURS, 0.0)
    with pytest.raises(PipelineError, match=said):
        merge.run(params.read(ROOT / "params.yaml"))


def test_a_channel_file_without_training_images(merged: Path) -> None:
    for component in paths.COLOURS:
        with store.create(paths.channel(component)) as file:
            file.create("test", (3, 32, 32), np.zeros(3, np.uint8))
    with pytest.raises(PipelineError, match=r"red.h5: no split train; found test; run `dvc repro split`"):
        images.load_training(paths.COLOURS, 0.0)


def test_fewer_images_than_a_batch(merged: Path) -> None:
    read = params.read(ROOT / "params.yaml")
    config = replace(read.train, batch_size=500)
    with pytest.raises(PipelineError, match=r"train.batch_size is 500, more than the 200 training images"):
        train_stage.run(0.0, read.model, config, Compute())
    assert not paths.runs().exists()


def test_storage_that_cannot_be_written_is_refused_before_ray_starts(merged: Path) -> None:
    (merged / "file").write_text("")
    read = params.read(ROOT / "params.yaml")
    machines = Compute(storage=str(merged / "file"))
    with pytest.raises(PipelineError, match=r"file: cannot be used: .*Not a directory"):
        train_stage.run(0.0, read.model, read.train, machines)


def test_a_longer_run_is_left_alone_when_fewer_epochs_are_asked_for(tmp_path: Path) -> None:
    """Lowering train.epochs starts a run of its own; the long one is there when they are raised again."""
    both = ("red", "green", "blue")
    for epoch in fit(stacked(*both), fresh(*both), TRAIN):
        for state in epoch.states():
            Checkpoints(str(tmp_path), "abc", both).save(state)
    chosen = {epochs: train_stage._choose(str(tmp_path), "abc", both, epochs) for epochs in (2, 4, 9)}
    assert [chosen[epochs].run for epochs in (2, 4, 9)] == ["abc-2-epochs", "abc", "abc"]
    assert [chosen[epochs].latest() for epochs in (2, 4, 9)] == [0, 4, 4]


FORBIDDEN = {
    "unpickling": r"\bpickle\b|torch\.load|joblib|allow_pickle=True",
    "YAML that makes objects": r"import yaml\b|typ=.(unsafe|full).",
    "code from text": r"(?<!\.)\b(eval|exec)\(|shell=True|os\.system",
    "unescaped HTML": r"\|\s*safe\b|autoescape=False|Markup\(",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_from_a_disk_becomes_code(what: str) -> None:
    sources = [*modules().values(), *(ROOT / "pipeline").rglob("*.html")]
    assert len(sources) > 30
    for path in sources:
        assert not re.search(FORBIDDEN[what], path.read_text()), path


# Real Ray from here on.

LONG: params.Changes = {
    "data": {"source": "synthetic", "validation": 0.1},
    "synthetic": {"train": 600, "test": 60},
    "model": {"latent": 5, "hidden": [40, 30]},
    "train": {"epochs": 200, "batch_size": 50},
}


def prepare(folder: Path, vaepipe: Vaepipe, changes: params.Changes) -> None:
    """A workspace in which train is next; the working directory."""
    workspaces.create(folder, changes)
    os.chdir(folder)
    for stage in ("download", "convert", "split"):
        assert vaepipe(stage).returncode == 0


def start_training(log: Path, checkpoint_seconds: str = "0.2") -> subprocess.Popen[bytes]:
    environment = os.environ | {"VAEPIPE_WORKERS": "2", "VAEPIPE_CHECKPOINT_SECONDS": checkpoint_seconds}
    program = Path(sys.executable).with_name("vaepipe")
    with log.open("wb") as file:
        return subprocess.Popen([program, "train"], stdout=file, stderr=file, env=environment)


def wait_for(text: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 90
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < limit, log.read_text()
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_rank_ctrl_c_and_a_resume_change_no_bit(workspace: Path, vaepipe: Vaepipe) -> None:
    """A rank is killed, the gang restarts, Ctrl-C ends it, the same command goes on: the models are bit for
    bit those of plain, undisturbed `fit` with the same stacks."""
    prepare(workspace / "w", vaepipe, LONG)
    log = workspace / "log"
    process = start_training(log)
    wait_for("epoch ", log, process)
    ranks = [p for p in psutil.Process(process.pid).children(recursive=True) if "RayTrainWorker" in p.name()]
    ranks = ranks or [
        p
        for p in psutil.Process(process.pid).children(recursive=True)
        if p.is_running() and "RayTrainWorker" in " ".join(p.cmdline())
    ]
    ranks[0].kill()
    wait_for("a rank failed: restart 1 of 3, from epoch ", log, process)
    time.sleep(0.5)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130, log.read_text()
    assert time.monotonic() - pressed < 5
    said = log.read_text().splitlines()[-1]
    found = re.fullmatch(
        r"interrupted: run \w+ keeps its checkpoint of epoch (\d+); the same command goes on from there", said
    )
    assert found, said
    kept = int(found[1])
    assert 0 < kept < 200

    assert start_training(log, "15").wait(120) == 0
    # A rank may have saved another epoch while the message was written.
    resumed = re.search(r"going on from the checkpoint of epoch (\d+)\n", log.read_text())
    assert resumed
    assert int(resumed[1]) >= kept

    read = params.read()
    training, held_out = images.load_training(paths.COLOURS, 0.1)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for stack in (("red", "green"), ("blue",)):
        arrays = torch.stack([torch.from_numpy(training.pixels[c]) for c in stack])
        held = torch.stack([torch.from_numpy(held_out.pixels[c]) for c in stack])
        states = [
            initial_state(c, x, Sizes((1, 32, 32)), read.model, read.train.seed)
            for c, x in zip(stack, arrays, strict=True)
        ]
        *_, end = fit(arrays, states, read.train, validation_CND=held)
        for state in end.states():
            save_model(workspace / "undisturbed", state)
            assert paths.model(state.component).read_bytes() == (workspace / "undisturbed").read_bytes()
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_divergence_is_said_once_and_not_retried(workspace: Path, vaepipe: Vaepipe) -> None:
    changes = LONG | {"train": {"epochs": 5, "batch_size": 50, "learning_rate": 1.0}}
    prepare(workspace / "w", vaepipe, changes)
    done = vaepipe("train", VAEPIPE_WORKERS="1")
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert re.search(r"the cost of (red|green|blue) became (nan|inf) in epoch \d: try a smaller", errors[0])
    assert "restart" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not paths.MODELS.exists()


def test_a_run_that_another_process_trains_is_refused_before_ray_starts(
    merged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "run_hash", lambda *_: "abc")
    held = (
        f"with identity.locked({str(paths.runs().absolute())!r}, 'abc'): print('held', flush=True); input()"
    )
    code = f"from pipeline.runs import identity\n{held}"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == "held\n"
        read = params.read(ROOT / "params.yaml")
        with pytest.raises(PipelineError, match=f"run abc is being trained by process {other.pid} on "):
            train_stage.run(0.0, read.model, read.train, Compute())
        other.kill()


def test_a_server_of_ray_that_died_is_named() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as server:
        session = Session(joined=False, servers=(psutil.Process(server.pid),))
        session.check()
        server.kill()
        time.sleep(0.1)
        with pytest.raises(PipelineError, match=f"process {server.pid} ended unexpectedly .*checkpoints"):
            session.check()


def test_every_line_of_the_reliability_page_names_a_test_that_is_there() -> None:
    rows = [line for line in (ROOT / "docs/reliability.md").read_text().splitlines() if "::test_" in line]
    named = {tuple(name.split("::")) for row in rows for name in re.findall(r"test_\w+\.py::test_\w+", row)}
    files = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    for file, test in named:
        assert f"\ndef {test}(" in files[file], (file, test)
    assert sum(row.startswith("| ") for row in rows) >= 50
