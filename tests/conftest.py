import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.common import paths
from pipeline.data.svhn import matfile
from pipeline.data.synthetic.crops import generate
from tests.helpers import models
from tests.helpers.checkout import Vaepipe

# Stages and tests call `vaepipe`, `dvc` and `ray` by name: those of this interpreter, activated or not.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

LONG_FILES = ("test_same_answer", "test_svhn")


def pytest_configure(config: pytest.Config) -> None:
    """Where tests run in several processes, these share the cores."""
    if hasattr(config, "workerinput"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that several processes end at about the same time."""
    items.sort(key=lambda item: item.path.parent.name != "system" and item.path.stem not in LONG_FILES)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def crops() -> tuple[np.ndarray, np.ndarray]:
    """300 generated crops, (300, 3, 32, 32) uint8, and their digits."""
    return generate(300, seed=0, split="train")


@pytest.fixture(scope="session")
def folders(
    tmp_path_factory: pytest.TempPathFactory, crops: tuple[np.ndarray, np.ndarray]
) -> dict[str, Path]:
    """Small trained models: three, a joint one, a conditional one."""
    top = tmp_path_factory.mktemp("models")
    images, labels = crops[0][:200], crops[1][:200]
    return {
        "separate": models.trained(top / "separate", images),
        "joint": models.trained(top / "joint", images, channels="joint", likelihood="gaussian"),
        "conditional": models.trained(top / "conditional", images, labels),
    }


@pytest.fixture
def one_thread() -> Iterator[None]:
    with models.one_thread():
        yield


@pytest.fixture
def raw(workspace: Path, crops: tuple[np.ndarray, np.ndarray]) -> Path:
    """A workspace that holds data/raw: 200 training and 100 test crops."""
    images, labels = crops
    paths.RAW.mkdir(parents=True)
    matfile.write(paths.raw("train"), images[:200], labels[:200])
    matfile.write(paths.raw("test"), images[200:], labels[200:])
    return workspace


@pytest.fixture
def vaepipe() -> Vaepipe:
    """Run the command line in the working directory."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["vaepipe", *arguments],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run
