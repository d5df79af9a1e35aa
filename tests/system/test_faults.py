"""Disks fill up, files do not fit each other, processes die while they write: nothing is lost."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import images, store
from pipeline.distributed.compute import Compute
from pipeline.experiment import params
from pipeline.runs.checkpoints import Checkpoints
from pipeline.stages import convert, merge, split
from pipeline.stages import train as train_stage
from tests.helpers.checkout import CUT, ROOT
from tests.helpers.fits import TRAIN, fresh, last
from tests.helpers.fits import images as stacked
from tests.helpers.imports import modules
from tests.helpers.models import model, square, start
from vae.fit import fit
from vae.modelfile import save_model

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


@pytest.mark.slow
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


@pytest.mark.slow
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
            file.create("test", (3, 32, 32), np.zeros(3, np.uint8))[:] = 0
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
