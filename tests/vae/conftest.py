"""Trained models, loaded by `vae.load`."""

from pathlib import Path

import numpy as np
import pytest

from tests.helpers.models import Crops
from vae import load
from vae.pretrained import Autoencoder


@pytest.fixture(scope="session")
def separate(folders: dict[str, Path]) -> Autoencoder:
    return load(folders["separate"], "cpu")


@pytest.fixture(scope="session")
def conditional(folders: dict[str, Path]) -> Autoencoder:
    return load(folders["conditional"], "cpu")


@pytest.fixture(scope="session")
def test_images(crops: Crops) -> np.ndarray:
    return crops[0][200:]
