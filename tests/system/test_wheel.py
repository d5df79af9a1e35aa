"""The wheel in environments of its own, outside the checkout: with the pipeline's packages, and without."""

import os
import subprocess
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.experiment import params
from tests.helpers import environments
from tests.helpers.checkout import ROOT
from tests.helpers.workspaces import SMALL

pytestmark = pytest.mark.slow


def run(programs: Path, cwd: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of an environment as where it is activated, and no other Python is on PATH."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    variables = kept | {"PATH": f"{programs}:/usr/bin:/bin"}
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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environments.build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


def test_the_wheel_runs_the_pipeline_and_its_models_anywhere(wheel: Path, tmp_path: Path) -> None:
    full = environments.create(tmp_path / "full", wheel, requirements("pipeline"))
    done(full, tmp_path, "vaepipe", "init", "workspace")
    workspace = tmp_path / "workspace"
    few = {"synthetic": {"train": 100, "test": 20}}
    params.change(workspace / paths.PARAMS, SMALL | few)
    said = done(full, workspace, "python", "-m", "dvc", "repro")
    assert "Running stage 'merge'" in said
    code = done(
        full, workspace, "python", "-c", "import pipeline, vae; print(pipeline.__file__, vae.__file__)"
    )
    assert all(path.startswith(str(tmp_path)) for path in code.split())

    # Optuna is not among the pipeline's packages.
    refused = run(full, workspace, "vaepipe", "tune")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "error: not installed: optuna; run pip install 'vaepipe[search]'\n"

    base = environments.create(tmp_path / "base", wheel, requirements(""))
    done(base, workspace, "vaepipe", "sample", "-n", "4", "-o", "samples.png")
    done(base, workspace, "vaepipe", "encode", "data/svhn.h5", "-o", "latents.h5")
    done(base, workspace, "vaepipe", "decode", "latents.h5", "-o", "decoded")
    assert len(list((workspace / "decoded").iterdir())) == 20
    before = sorted(path.name for path in workspace.iterdir())
    for command in ("train", "doctor"):
        refused = run(base, workspace, "vaepipe", command)
        assert (refused.returncode, refused.stdout) == (1, ""), command
        assert refused.stderr.startswith("error: not installed: dvc, ")
        assert refused.stderr.endswith("; run pip install 'vaepipe[pipeline]'\n")
        assert refused.stderr.count("\n") == 1
    assert sorted(path.name for path in workspace.iterdir()) == before
    assert "--max-failures" in done(base, workspace, "vaepipe", "train", "--help")


def requirements(extra: str) -> set[str]:
    """What `pip install vaepipe[extra]` brings, vaepipe itself left out."""
    name = f"vaepipe[{extra}]" if extra else "vaepipe"
    return environments.with_all_they_need([name]) - {"vaepipe"}


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"vae/__init__.py", "pipeline/__init__.py", "pipeline/template/dvc.yaml"} <= names
    assert {"vae/py.typed", "pipeline/py.typed"} <= names
    version = metadata.version("vaepipe")
    assert version in wheel.name
    assert {name.split("/")[0] for name in names} == {"vae", "pipeline", f"vaepipe-{version}.dist-info"}
