"""The doctor against `dvc repro`: where it finds a problem that fails, and where it says Ready that works."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.doctor import machine
from pipeline.doctor import run as doctor
from pipeline.doctor.checks import Finding
from pipeline.doctor.speed import SpeedResult
from pipeline.experiment import guard, params
from pipeline.experiment import workspace as workspaces
from tests.helpers.drawings import pictures
from tests.helpers.workspaces import SMALL, dvc, git

pytestmark = pytest.mark.slow

TINY: params.Changes = {
    "data": {"source": "synthetic"},
    "synthetic": {"train": 3, "test": 2},
    "train": {"batch_size": 1},
}


def changed(section: str, **values: object) -> Callable[[Path], object]:
    return lambda folder: params.change(folder / paths.PARAMS, {section: values})


def own_in_raw(folder: Path) -> None:
    pictures(folder / paths.RAW)
    changed("data", source="data/raw")(folder)


def notes_in_models(folder: Path) -> None:
    (folder / paths.MODELS).mkdir()
    (folder / paths.MODELS / "notes.txt").touch()


def svhn_by_hand(folder: Path) -> None:
    (folder / paths.RAW).mkdir(parents=True)
    (folder / paths.raw("train")).touch()


def no_yaml(folder: Path) -> None:
    (folder / paths.PARAMS).write_text("train: epochs: 50\n")


def without_stages_of_this_version(folder: Path) -> None:
    text = (folder / paths.DVC_YAML).read_text()
    (folder / paths.DVC_YAML).write_text(text.replace("modules/download.json", "pipeline/data/store.py"))
    (folder / "pipeline").symlink_to(folder / "gone")


def neither_git_nor_no_scm(folder: Path) -> None:
    (folder / ".dvc/config.local").unlink()


def written(name: str, text: str) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)

    return write


PROBLEMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a source where stages write": (own_in_raw, "outs"),
    "a file of the user's in models": (notes_in_models, "outs"),
    "SVHN's files in data/raw by hand": (svhn_by_hand, "outs"),
    "a source that is not there": (changed("data", source="nowhere"), "source"),
    "params.yaml is no YAML": (no_yaml, "params.yaml"),
    "larger batches than images": (changed("train", batch_size=4), "params.yaml"),
    "stages of another version": (without_stages_of_this_version, "files"),
    "no git, and DVC is not told": (neither_git_nor_no_scm, "files"),
    "dvc.lock, cut off": (written("dvc.lock", "schema: '2.0'\nstages:\n  download:\n    cmd"), "DVC's files"),
    "dvc.lock, of nothing": (written("dvc.lock", ""), "DVC's files"),
    "dvc.lock, half merged": (written("dvc.lock", "<<<<<<< HEAD\nschema: '2.0'\n=======\n"), "DVC's files"),
    "DVC's list of its processes": (written(".dvc/tmp/rwlock", '{"write": {"/a'), "DVC's files"),
}


@pytest.fixture
def here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace without git, as a working directory; the engine is not measured, which takes seconds."""
    workspaces.create(workspace / "w", TINY, git=False)
    monkeypatch.chdir(workspace / "w")
    monkeypatch.setattr(
        machine, "measure", lambda job, ranks: ([SpeedResult("cpu", 1, 1000.0, ())] * ranks, "")
    )
    return workspace / "w"


def problems() -> list[Finding]:
    return [finding for finding in doctor.examine(0) if finding.status == "problem"]


@pytest.mark.parametrize("name", PROBLEMS)
def test_where_the_doctor_finds_a_problem_dvc_repro_fails(here: Path, name: str) -> None:
    assert not problems()
    fault, what = PROBLEMS[name]
    fault(here)
    assert [finding.what for finding in problems()] == [what]
    done = dvc("repro", "--force", cwd=here)
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr


def test_settings_of_dvc_that_are_damaged(here: Path) -> None:
    written(".dvc/config", "[core\nanaly")(here)
    assert [finding.what for finding in problems()] == ["DVC's files"]
    assert dvc("repro", cwd=here).returncode != 0  # with a traceback of its own


def test_the_cure_for_damaged_files_of_dvc(here: Path) -> None:
    assert dvc("repro", "prepare", cwd=here).returncode == 0
    whole = (here / "dvc.lock").read_text()
    written("dvc.lock", whole[:-9])(here)
    written(".dvc/tmp/rwlock", "")(here)
    [found] = problems()
    assert "delete it: dvc repro runs the stages again then; delete .dvc/tmp/rwlock" in found.advice
    (here / "dvc.lock").unlink()
    (here / ".dvc/tmp/rwlock").unlink()
    assert not problems()
    assert dvc("repro", "prepare", cwd=here).returncode == 0
    assert (here / "dvc.lock").read_text() == whole


def test_a_command_at_work_is_a_problem_while_it_lasts(here: Path) -> None:
    with guard.command("download", guard.Reads()):
        assert [finding.what for finding in problems()] == ["at work"]
        assert dvc("repro", cwd=here).returncode != 0
    assert not problems()


def test_no_vaepipe_on_the_path(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [f for f in os.environ["PATH"].split(os.pathsep) if not shutil.which("vaepipe", path=f)]
    monkeypatch.setenv("PATH", os.pathsep.join(folders))
    assert [finding.what for finding in problems()] == ["vaepipe"]
    done = subprocess.run([sys.executable, "-m", "dvc", "repro"], capture_output=True, check=False)
    assert done.returncode != 0


def test_what_only_dvc_s_experiments_need_is_a_warning(here: Path) -> None:
    git(here, "init", "--quiet")
    [found] = [finding for finding in doctor.examine(0) if finding.what == "files"]
    assert (found.status, found.advice) == ("warning", "`vaepipe init .` mends it")
    assert dvc("repro", "prepare", cwd=here).returncode == 0


@pytest.mark.day
def test_where_it_says_ready_dvc_repro_works(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On one core, without a home, with temporary files far down: as batch systems and containers have it."""
    params.change(paths.PARAMS, SMALL)
    far = tmp_path / ("far" * 30) / "down"
    far.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    monkeypatch.setenv("TMPDIR", str(far))
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    try:
        if cores:
            os.sched_setaffinity(0, {min(cores)})
        assert not problems()
        done = dvc("repro", cwd=here)
    finally:
        if cores:
            os.sched_setaffinity(0, cores)
    assert done.returncode == 0, done.stderr
    assert (here / paths.REPORT).exists()
    said = [line for line in done.stderr.splitlines() if "WARNING" in line or "Traceback" in line]
    assert not said
