"""What a user has put where stages write is never removed, whatever the parameters."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.distributed.compute import Compute
from pipeline.experiment import params, places
from pipeline.experiment import workspace as workspaces
from pipeline.experiment.params import SyntheticConfig
from pipeline.stages import classifier, download, prepare, train
from pipeline.stages.download import DownloadConfig
from tests.helpers.drawings import pictures
from tests.helpers.workspaces import dvc
from vae.config import PAPER_MODEL, PAPER_TRAIN

TINY = SyntheticConfig(3, 2, 1, 0)


def whole(kept: dict[Path, bytes]) -> bool:
    return all(path.read_bytes() == data for path, data in kept.items())


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("data/raw", "data/raw"),
        ("data/raw/pictures", "data/raw/pictures"),
        ("data", "data/raw"),
        (".", "data/raw"),
        ("..", "data/raw"),
        ("models", "models"),
        ("report/mine", "report/mine"),
        ("data/raw/own.npz", "data/raw"),
        ("link", "data/raw"),
        ("elsewhere/..", "data/raw"),
    ],
)
def test_a_source_where_stages_write_is_refused_and_kept(workspace: Path, source: str, place: str) -> None:
    kept = pictures(workspace / place)
    np.savez(workspace / place / "own.npz", images=np.zeros((9, 32, 32), np.uint8))
    (workspace / "link").symlink_to(workspace / "data/raw")
    (workspace / "elsewhere").mkdir()
    where = r"params.yaml: data\.source is .*, which (is|is in|holds) (data/raw|modules|models|report), where"
    for stage in (lambda: prepare.run(source), lambda: download.run(DownloadConfig(source), TINY)):
        with pytest.raises(PipelineError, match=where):
            stage()
    assert whole(kept)
    assert not paths.MODULES.exists()


def test_a_source_beside_the_places_is_none_of_them(workspace: Path) -> None:
    kept = pictures(workspace / "data/mine")
    pictures(workspace / "data/raws")
    prepare.run("data/mine")
    download.run(DownloadConfig("data/mine", size=32, test=0.5), TINY)
    download.run(DownloadConfig("data/raws", size=32, test=0.5), TINY)
    assert whole(kept)
    assert paths.OWN_IMAGES.exists()


@pytest.mark.parametrize("folder", [path for path in places.FOLDERS if path != paths.MODULES], ids=str)
def test_a_file_that_no_stage_writes_stops_all_stages(workspace: Path, folder: Path) -> None:
    mine = folder / "notes/why.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(PipelineError, match=f"^{folder}: holds {folder}/notes, .*; move it elsewhere"):
        prepare.run("synthetic")
    mine.rename(folder / "why.txt")
    with pytest.raises(PipelineError, match=f"^{folder}: holds {folder}/"):
        prepare.run("synthetic")
    assert (folder / "why.txt").read_text() == "mine"


def test_what_systems_leave_is_nobody_s(workspace: Path) -> None:
    paths.MODELS.mkdir()
    for name in (".DS_Store", ".red.safetensors.4711.part", ".nfs0001", "red.safetensors"):
        (paths.MODELS / name).touch()
    prepare.run("synthetic")
    assert paths.modules("train").exists()


def test_stages_themselves_refuse_too(workspace: Path) -> None:
    """As when they run without DVC, which runs `prepare` first."""
    for folder in (paths.MODELS, paths.CLASSIFIER_FOLDER):
        folder.mkdir()
        (folder / "mine").touch()
    with pytest.raises(PipelineError, match=r"^models: holds models/mine"):
        train.run(0.0, PAPER_MODEL, PAPER_TRAIN, Compute())
    with pytest.raises(PipelineError, match=r"^classifier: holds classifier/mine"):
        classifier.run(False, 0.0, 0)


def test_a_file_by_an_official_name_that_is_not_ours_stays(workspace: Path) -> None:
    """Such as SVHN's own, put into data/raw by hand."""
    download.run(DownloadConfig("synthetic"), TINY)
    theirs = paths.raw("train").read_bytes()
    download.run(DownloadConfig("synthetic"), SyntheticConfig(4, 2, 1, 0))  # ours are replaced
    ours = paths.raw("train").read_bytes()
    assert ours != theirs
    paths.raw("train").write_bytes(theirs)
    with pytest.raises(
        PipelineError, match=r"^data/raw: holds data/raw/train_32x32\.mat, which vaepipe did not"
    ):
        download.run(DownloadConfig("synthetic"), TINY)
    assert paths.raw("train").read_bytes() == theirs


def test_the_sums_are_as_md5sum_checks_them(workspace: Path) -> None:
    if not shutil.which("md5sum"):
        pytest.skip("there is no md5sum here")
    download.run(DownloadConfig("synthetic"), TINY)
    subprocess.run(["md5sum", "--quiet", "--strict", "-c", paths.CHECKSUMS.name], cwd=paths.RAW, check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments", [["repro"], ["repro", "--force"], ["repro", "--single-item", "download"]]
)
def test_dvc_removes_no_picture_either(workspace: Path, arguments: list[str]) -> None:
    """DVC deletes a stage's outs before the stage can refuse."""
    folder = workspace / "w"
    workspaces.create(folder, {"data": {"source": "synthetic"}})
    assert dvc("repro", "prepare", cwd=folder).returncode == 0
    params.change(folder / paths.PARAMS, {"data": {"source": "data/raw"}})
    kept = pictures(folder / paths.RAW)
    done = dvc(*arguments, cwd=folder)
    assert done.returncode != 0
    assert (
        "error: params.yaml: data.source is data/raw, which is data/raw, where vaepipe writes" in done.stderr
    )
    assert whole(kept)


@pytest.mark.slow
def test_dvc_removes_no_file_of_a_user_s_from_the_models(workspace: Path) -> None:
    folder = workspace / "w"
    workspaces.create(folder, {"data": {"source": "synthetic"}, "synthetic": {"train": 3, "test": 2}})
    mine = folder / paths.MODELS / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    done = dvc("repro", "--force", cwd=folder)
    assert done.returncode != 0
    assert "error: models: holds models/notes.txt, which vaepipe did not write" in done.stderr
    assert mine.read_text() == "mine"
    assert os.listdir(folder / paths.MODELS) == ["notes.txt"]  # noqa: PTH208
