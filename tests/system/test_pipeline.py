"""The whole pipeline, as people run it: `dvc repro` in a workspace."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open

from pipeline.common import paths
from pipeline.data.svhn import matfile
from pipeline.experiment import workspace as workspaces
from pipeline.runs import listing
from tests.helpers.workspaces import SMALL, dvc

pytestmark = pytest.mark.slow


def ran(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The stages that ran, classifier before train: DVC takes them in any order."""
    assert done.returncode == 0, done.stdout + done.stderr
    found = [line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")]
    if found[-3:-1] == ["train", "classifier"]:
        found[-3:-1] = ["classifier", "train"]
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the pipeline ran on 720 generated crops, on two ranks."""
    folder = tmp_path_factory.mktemp("pipeline") / "workspace"
    workspaces.create(folder, SMALL)
    done = dvc("repro", cwd=folder, VAEPIPE_WORKERS="2")
    assert ran(done) == ["prepare", "download", "convert", "split", "classifier", "train", "merge"]
    assert "WARNING" not in done.stderr
    assert "starting 2 CPU ranks for red+green | blue" in done.stderr
    return folder


def test_the_outs_fit_each_other(small: Path) -> None:
    images, labels = matfile.read(small / paths.raw("test"))
    with h5py.File(small / paths.RECONSTRUCTIONS) as file:
        rebuilt = file["test/images"][:]
        assert np.array_equal(file["test/labels"], labels)
    assert rebuilt.shape == (120, 3, 32, 32)
    metrics = json.loads((small / paths.TEST_METRICS).read_text())
    assert set(metrics) == {"red", "green", "blue", "rgb"}
    for c, component in enumerate(paths.COLOURS):
        error = ((rebuilt[:, c].astype(float) - images[:, c]) / 255) ** 2
        # Rounding to bytes moves it a little.
        assert metrics[component]["mse"] == pytest.approx(error.mean(), rel=0.01)
        assert metrics[component]["cost"] > metrics[component]["floor"]
    assert metrics["rgb"]["cost"] == pytest.approx(sum(metrics[c]["cost"] for c in paths.COLOURS), rel=1e-5)
    training = json.loads((small / paths.TRAIN_METRICS).read_text())
    assert training["red"]["validation"]["floor"] != training["red"]["floor"]
    rows = (small / paths.HISTORY).read_text().splitlines()
    assert len(rows) == 1 + 3 * 3 * 2  # epochs, components, splits


def test_the_models_are_those_of_one_process(small: Path) -> None:
    """Ray, two ranks and a stack of two against plain `fit` of green alone."""
    from pipeline.data import images
    from pipeline.experiment import params
    from vae.config import Sizes
    from vae.fit import fit
    from vae.stack import initial_state

    read = params.read(small / paths.PARAMS)
    before = Path.cwd()
    os.chdir(small)
    try:
        training, _ = images.load_training(["green"], 0.1)
    finally:
        os.chdir(before)
    pixels = torch.from_numpy(training.pixels["green"])
    assert pixels.shape == (540, 1024)
    state = initial_state("green", pixels, Sizes((1, 32, 32)), read.model, read.train.seed)
    [expected] = [e.states() for e in fit(pixels[None], [state], read.train)][-1]
    with safe_open(small / paths.model("green"), "pt") as file:
        for name, weight in expected.weights.items():
            distance = (file.get_tensor(name) - weight).norm() / weight.norm()
            assert distance < 1e-4, name


def test_the_run_says_which_models_it_made(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(small)
    [run] = listing.list_runs(str(paths.runs().absolute()))
    assert (run.epochs, run.asked, run.images, run.made_models) == (3, 3, 540, True)


def test_nothing_runs_twice(small: Path) -> None:
    assert ran(dvc("repro", cwd=small)) == ["prepare"]


def test_a_finished_run_is_gone_on_with_not_repeated(small: Path) -> None:
    """What DVC has lost, the run's checkpoints bring back, to the byte, without starting Ray."""
    before = {c: (small / paths.model(c)).read_bytes() for c in paths.COLOURS}
    done = dvc("repro", "--force", "--single-item", "--no-run-cache", "train", cwd=small)
    assert ran(done) == ["train"]
    assert "is at epoch 3 already: nothing to train" in done.stderr
    assert {c: (small / paths.model(c)).read_bytes() for c in paths.COLOURS} == before


def test_a_change_reruns_what_it_shapes(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(small, folder, symlinks=True)

    def planned() -> list[str]:
        first, *others = ran(dvc("repro", "--dry", cwd=folder))
        assert first == "prepare"  # always, and what follows only where it changed something
        return others

    assert planned() == []
    # Code as of another version, which `vaepipe prepare` writes down.
    code = folder / paths.modules("merge")
    written = code.read_text()
    code.unlink()  # a link into DVC's cache
    code.write_text(written.replace("pipeline/report/page.html", "pipeline/report/other.html"))
    assert planned() == ["merge"]
    code.write_text(written)

    parameters = folder / paths.PARAMS
    before = parameters.read_text()
    for old, new, stages in (
        ("latent: 5", "latent: 6", ["train", "merge"]),
        ("images: 20", "images: 10", ["merge"]),
        ("validation: 0.1", "validation: 0.2", ["classifier", "train", "merge"]),
    ):
        assert old in before
        parameters.write_text(before.replace(old, new))
        assert planned() == stages, new
    parameters.write_text(before)
