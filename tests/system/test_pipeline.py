"""The whole pipeline, as people run it: `dvc repro` in a workspace.

The workspace is made by the wheel in an environment of its own, outside the checkout; what follows is done by
the checkout, for which nothing is left to run.
"""

import json
import os
import shutil
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors import safe_open

from pipeline.common import paths
from pipeline.data.svhn import matfile
from pipeline.experiment import params
from pipeline.runs import listing
from tests.helpers import environments
from tests.helpers.checkout import ROOT
from tests.helpers.workspaces import SMALL, dvc

pytestmark = pytest.mark.slow


def run(programs: Path, cwd: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program of an environment as where it is activated, and no other Python is on PATH."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    variables = kept | {"PATH": f"{programs}:/usr/bin:/bin"} | more
    name, *arguments = command
    return subprocess.run(
        [str(programs / name), *arguments],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        timeout=240,
    )


def done(programs: Path, cwd: Path, *command: str) -> str:
    finished = run(programs, cwd, *command)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def requirements(extra: str) -> set[str]:
    """What `pip install vaepipe[extra]` brings, vaepipe itself left out."""
    name = f"vaepipe[{extra}]" if extra else "vaepipe"
    return environments.with_all_they_need([name]) - {"vaepipe"}


def ran(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The stages that ran, classifier before train: DVC takes them in any order."""
    assert done.returncode == 0, done.stdout + done.stderr
    found = [line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")]
    if found[-3:-1] == ["train", "classifier"]:
        found[-3:-1] = ["classifier", "train"]
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environments.build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The programs of an environment that holds the wheel and the pipeline's packages."""
    return environments.create(tmp_path_factory.mktemp("full") / "env", wheel, requirements("pipeline"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, full: Path) -> Path:
    """A workspace in which the pipeline ran on 720 generated crops, on two ranks."""
    top = tmp_path_factory.mktemp("pipeline")
    done(full, top, "vaepipe", "init", "workspace")
    folder = top / "workspace"
    params.change(folder / paths.PARAMS, SMALL)
    finished = run(full, folder, "python", "-m", "dvc", "repro", VAEPIPE_WORKERS="2")
    assert ran(finished) == ["prepare", "download", "convert", "split", "classifier", "train", "merge"]
    assert "WARNING" not in finished.stderr
    assert "starting 2 CPU ranks for red+green | blue" in finished.stderr
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


def test_the_wheel_is_of_itself_and_says_what_is_missing(full: Path, small: Path) -> None:
    code = done(full, small, "python", "-c", "import pipeline, vae; print(pipeline.__file__, vae.__file__)")
    assert all(path.startswith(str(full.parent)) for path in code.split())
    # Optuna is not among the pipeline's packages.
    refused = run(full, small, "vaepipe", "tune")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "error: not installed: optuna; run pip install 'vaepipe[search]'\n"


def test_the_wheel_without_extras_uses_models(wheel: Path, small: Path, tmp_path: Path) -> None:
    base = environments.create(tmp_path / "base", wheel, requirements(""))
    folder = tmp_path / "workspace"
    shutil.copytree(small, folder, symlinks=True)
    done(base, folder, "vaepipe", "sample", "-n", "4", "-o", "samples.png")
    done(base, folder, "vaepipe", "encode", "data/svhn.h5", "-o", "latents.h5")
    done(base, folder, "vaepipe", "decode", "latents.h5", "-o", "decoded")
    assert len(list((folder / "decoded").iterdir())) == 120
    before = sorted(path.name for path in folder.iterdir())
    for command in ("train", "doctor"):
        refused = run(base, folder, "vaepipe", command)
        assert (refused.returncode, refused.stdout) == (1, ""), command
        assert refused.stderr.startswith("error: not installed: dvc, ")
        assert refused.stderr.endswith("; run pip install 'vaepipe[pipeline]'\n")
        assert refused.stderr.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == before
    assert "--max-failures" in done(base, folder, "vaepipe", "train", "--help")


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"vae/__init__.py", "pipeline/__init__.py", "pipeline/template/dvc.yaml"} <= names
    assert {"vae/py.typed", "pipeline/py.typed"} <= names
    version = metadata.version("vaepipe")
    assert version in wheel.name
    assert {name.split("/")[0] for name in names} == {"vae", "pipeline", f"vaepipe-{version}.dist-info"}
