"""A folder of models, pictures and an HDF5 file, to use the commands in."""

from pathlib import Path

import pytest

from pipeline.data import store
from tests.helpers.drawings import draw
from tests.helpers.models import Crops


@pytest.fixture
def place(workspace: Path, folders: dict[str, Path], crops: Crops) -> Path:
    """A folder with `models`, `conditional`, `png/*.png` and `own.h5`, of 30 crops."""
    (workspace / "models").symlink_to(folders["separate"])
    (workspace / "conditional").symlink_to(folders["conditional"])
    images, labels = crops[0][200:230], crops[1][200:230]
    for n, image in enumerate(images):
        draw(workspace / f"png/{n:02}.png", image.transpose(1, 2, 0))
    with store.create(workspace / "own.h5") as file:
        file.create("train", (5, 3, 32, 32), labels[:5])[:] = images[:5]
        file.create("test", images.shape, labels)[:] = images
    return workspace
