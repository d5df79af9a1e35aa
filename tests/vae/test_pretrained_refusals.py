"""`vae.load`: arguments and folders of models that cannot be."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers.models import Crops, trained
from vae import load
from vae.pretrained import Autoencoder
from vae.tensorfile import ModelFileError

pytestmark = pytest.mark.usefixtures("one_thread")


# What cannot be used
NOISE = np.zeros((2, 3, 32, 32), np.uint8)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (NOISE[0], r"images should be \(N, 3, 32, 32\); found \(3, 32, 32\)"),
        (NOISE.transpose(0, 2, 3, 1), r"found \(2, 32, 32, 3\)"),
        (NOISE[..., :16], r"found \(2, 3, 32, 16\)"),
        (NOISE.astype(np.int64), "should be uint8, 0 to 255, or floating-point, 0 to 1; found int64"),
        (torch.zeros(2, 3, 32, 32, dtype=torch.int32), "found torch.int32"),
        (NOISE > 0, "found bool"),
        (np.full(NOISE.shape, 2.0), "should be from 0 to 1; found 2 to 2; divide bytes by 255"),
        (np.full(NOISE.shape, -0.5), "found -0.5 to -0.5"),
        (np.full(NOISE.shape, np.nan), "found nan to nan"),
        (torch.full(NOISE.shape, torch.inf), "found inf to inf"),
        (NOISE.tolist(), "expected a numpy array or a torch tensor; found list"),
    ],
)
def test_images_that_are_none(separate: Autoencoder, images: Any, said: str) -> None:
    for use in (separate.encode, separate.reconstruct):
        with pytest.raises(ValueError, match=said):
            use(images)


@pytest.mark.parametrize(
    ("z", "said"),
    [
        (np.zeros(18), r"z should be \(N, 18\); found \(18,\)"),
        (np.zeros(()), r"found \(\)"),
        (np.zeros((2, 20)), r"found \(2, 20\)"),
        (np.zeros((2, 18), np.int64), "z should be floating-point; found int64"),
        (np.full((2, 18), np.nan), "z should be finite"),
        (torch.full((2, 18), torch.inf), "z should be finite"),
    ],
)
def test_latents_that_are_none(separate: Autoencoder, z: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        separate.decode(z)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            None,
            r"these models are conditional: labels should be .* from 0 to 9, or names .*; found none",
        ),
        ([0, 10], "found 0 to 10"),
        ([-1, 0], "found -1 to 0"),
        ([1], r"found \(1,\) int64"),
        (np.zeros(2), "found .* float64"),
        (np.zeros(2, bool), "found .* bool"),
    ],
)
def test_labels_that_are_none(conditional: Autoencoder, labels: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        conditional.encode(NOISE, labels)
    with pytest.raises(ValueError, match=said):
        conditional.sample(2, labels=labels)


def test_what_makes_no_sense(separate: Autoencoder) -> None:
    z = np.zeros(18, np.float32)
    with pytest.raises(ValueError, match="not conditional: they take no labels"):
        separate.encode(NOISE, [0, 0])
    with pytest.raises(ValueError, match="n is 0, but must be at least 1"):
        separate.sample(0)
    with pytest.raises(ValueError, match="steps is 1, but must be at least 2"):
        separate.interpolate(z, z, 1)
    with pytest.raises(ValueError, match=r"z should be \(18,\); found \(1, 18\)"):
        separate.interpolate(z, z[None])


# Folders
def line(folder: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        load(folder)
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(f"{folder}", "models")


def test_a_folder_without_models(tmp_path: Path) -> None:
    expected = "expected red, green and blue.safetensors, or rgb.safetensors"
    assert line(tmp_path) == f"models: no models in it; {expected}"
    assert line(tmp_path / "none") == f"models: no such folder; {expected}"


def test_models_that_do_not_fit_together(tmp_path: Path, folders: dict[str, Path], crops: Crops) -> None:
    mine = tmp_path / "models"
    shutil.copytree(folders["separate"], mine)
    (mine / "green.safetensors").rename(mine / "kept")
    assert line(mine) == "models/green.safetensors: no such model file"
    shutil.copy(mine / "red.safetensors", mine / "green.safetensors")
    assert line(mine) == "models/green.safetensors: holds a model of red, 1x32x32; expected green's"
    other = trained(tmp_path / "other", crops[0][:40], latent=7)
    shutil.copy(other / "green.safetensors", mine)
    assert line(mine).startswith("models/green.safetensors: a model of another size or kind than models/red")
    (mine / "kept").rename(mine / "green.safetensors")
    shutil.copy(folders["joint"] / "rgb.safetensors", mine)
    assert line(mine).startswith("models: holds red, green, blue, rgb; expected either red, green and blue")


def test_a_model_that_is_damaged(tmp_path: Path, folders: dict[str, Path]) -> None:
    mine = tmp_path / "models"
    shutil.copytree(folders["joint"], mine)
    file = mine / "rgb.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    assert line(mine).startswith("models/rgb.safetensors: not a vaepipe model file, or damaged")
    file.unlink()
    file.mkdir()
    assert line(mine) == "models/rgb.safetensors: cannot be read: Is a directory"


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta"])
def test_a_device_that_is_not_there(folders: dict[str, Path], device: str) -> None:
    with pytest.raises(ValueError, match=f"device {device} cannot be used here .*; try cpu"):
        load(folders["joint"], device)
