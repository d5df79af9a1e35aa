"""What a command has read stays as it is until it ends, or the command fails."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.common import locks, paths
from pipeline.common.errors import PipelineError
from pipeline.experiment import guard, params, stage_modules
from pipeline.experiment import workspace as workspaces
from pipeline.experiment.guard import Reads
from tests.helpers.checkout import ROOT, Vaepipe
from tests.helpers.workspaces import dvc

READS = Reads({paths.PARAMS: ["model.latent", "train"]}, [paths.CHANNELS])


@pytest.fixture
def here(workspace: Path) -> Path:
    """A workspace with parameters, stages, and a channel's file."""
    for name in ("params.yaml", "dvc.yaml", "studies.yaml"):
        shutil.copy(ROOT / name, workspace)
    paths.CHANNELS.mkdir(parents=True)
    paths.channel("red").write_bytes(b"pixels")
    return workspace


def edit(old: str, new: str, path: Path = paths.PARAMS) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_nothing_is_said_where_nothing_has_changed(here: Path) -> None:
    with guard.command("train", READS):
        edit("images: 64", "images: 65")  # not read by it
        edit("  latent: 20 ", "  latent:    20 ")  # the same value
        paths.channel("red").read_bytes()
    assert not list((paths.STATE / "running").glob("*.holder"))


def test_a_parameter_that_was_changed_fails_the_command(here: Path) -> None:
    def edit_two() -> None:
        edit("  latent: 20", "  latent: 10")
        edit("  seed: 0\n  precision", "  seed: 7\n  precision")

    said = (
        r"^model.latent was 20 and is 10; train.seed was 0 and is 7, while `vaepipe train` ran: its results"
    )
    with pytest.raises(PipelineError, match=said), guard.command("train", READS):
        edit_two()


@pytest.mark.parametrize("broken", ["model: [", "", "model: 3\n"])
def test_parameters_that_are_none_any_more_fail_it_too(here: Path, broken: str) -> None:
    with (
        pytest.raises(PipelineError, match=r"not valid YAML|was 20 and is None"),
        guard.command("train", READS),
    ):
        paths.PARAMS.write_text(broken)


def test_parameters_that_are_half_edited_when_a_command_ends(here: Path) -> None:
    said = (
        r"^params.yaml: line \d+: not valid YAML: .*; it was edited while `vaepipe tune` ran, whose results"
    )
    with pytest.raises(PipelineError, match=said), guard.command("tune", READS):
        paths.PARAMS.write_text("model: [")


def test_a_search_does_not_begin_for_parameters_that_may_not_be_written(here: Path, vaepipe: Vaepipe) -> None:
    paths.PARAMS.chmod(0o444)
    done = vaepipe("tune", "--apply")
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml: read-only; it is as it was")


@pytest.mark.parametrize("name", ["red.h5", "new.h5"])
def test_data_that_were_replaced_fail_it(here: Path, name: str) -> None:
    said = rf"^data/channels/{name} was replaced, while"
    with pytest.raises(PipelineError, match=said), guard.command("train", READS):
        (paths.CHANNELS / name).write_bytes(b"other pixels")


def test_code_that_was_edited_fails_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = here / "code/vae/step.py"
    code.parent.mkdir(parents=True)
    code.write_text("old")
    monkeypatch.setattr(stage_modules, "ROOT", here / "code")
    paths.MODULES.mkdir()
    recorded = paths.modules("train")
    recorded.write_text(json.dumps(stage_modules.checksums(["vae/step.py"])))
    with pytest.raises(PipelineError, match=r"^vae/step.py was edited, while"), guard.stage("train"):
        code.write_text("new")
    # Without DVC nothing is recorded that could be wrong; with it, `dvc repro` has looked at the old one.
    with guard.stage("train"):
        pass
    monkeypatch.setenv("DVC_STAGE", "train")
    with (
        pytest.raises(PipelineError, match=r"^vae/step.py: edited since `dvc repro` began"),
        guard.stage("train"),
    ):
        pytest.fail("it should not have begun")


def test_what_a_stage_reads_is_what_dvc_yaml_says(here: Path) -> None:
    with guard.stage("convert"):
        edit("  latent: 20", "  latent: 10")  # of train
    said = r"^data.margin was 0.1 and is 0.2, while `vaepipe convert`"
    with pytest.raises(PipelineError, match=said), guard.stage("convert"):
        edit("margin: 0.1", "margin: 0.2")


def test_a_command_runs_once_at_a_time(here: Path) -> None:
    said = rf"^`vaepipe train` runs in .*process {os.getpid()} on .*; wait"
    with guard.command("train", READS):
        with pytest.raises(PipelineError, match=said), guard.command("train", READS):
            pytest.fail("it should not have begun")
        with guard.command("merge", READS):
            pass


@pytest.mark.parametrize("arguments", [["preset", "apply", "joint"], ["tune", "--apply"]])
def test_params_yaml_is_not_written_while_a_command_runs_by_it(
    here: Path, vaepipe: Vaepipe, arguments: list[str]
) -> None:
    before = paths.PARAMS.read_bytes()
    with guard.command("train", READS):
        done = vaepipe(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("error: params.yaml: `vaepipe train` runs by it, as process ")
    assert paths.PARAMS.read_bytes() == before
    guard.check_idle()


def test_the_lock_of_a_killed_command_is_nobody_s(here: Path) -> None:
    code = (
        "import os, signal\nfrom pipeline.experiment import guard\n"
        "with guard.command('train', guard.Reads()): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (guard.RUNNING / "train.lock").exists()
    assert locks.holder(guard.RUNNING / "train") is None
    guard.check_idle()


@pytest.mark.slow
def test_dvc_records_nothing_of_a_stage_whose_parameters_changed(workspace: Path) -> None:
    """Else dvc.lock, the run cache and the report would call the old data the new parameters' for ever."""
    folder = workspace / "w"
    workspaces.create(folder, {"data": {"source": "synthetic"}, "synthetic": {"train": 5_000, "test": 2}})
    command = [sys.executable, "-m", "dvc", "repro", "download"]
    running = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not (folder / guard.RUNNING / "download.holder").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    params.change(folder / paths.PARAMS, {"synthetic": {"train": 20}})
    _, said = running.communicate(timeout=120)
    assert running.returncode != 0
    assert (
        "error: synthetic.train was 5000 and is 20, while `vaepipe download` ran: its results are of" in said
    )
    assert "download" not in YAML(typ="safe").load(folder / "dvc.lock")["stages"]
    done = dvc("repro", "convert", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "convert train: 20 images" in done.stderr
