"""Trained models compute the same whatever torch's global defaults are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.drawings import noise
from tests.helpers.models import trained

CALLS = """
import sys
import numpy as np, torch
before, dtype, device = sys.argv[2] == "before", sys.argv[3], sys.argv[4]

def change():
    torch.set_default_dtype(getattr(torch, dtype))
    torch.set_default_device(device)

from vae import load
if before:
    change()
model = load(sys.argv[1], "cpu")
if not before:
    change()
images = np.load(sys.argv[5])
labels = np.arange(len(images)) % 10 if model.classes else None
z = model.encode(images, labels)
one, four = (None, None) if labels is None else (1, [1] * 4)
found = [z, model.decode(z, labels), model.reconstruct(images / 255, labels)]
found += [model.interpolate(z[0], z[1], 3, one), model.sample(4, labels=four).numpy()]
assert all(array.dtype == np.float32 for array in found), [array.dtype for array in found]
np.savez(sys.argv[6], *found)
"""


def answers(folder: Path, out: Path, when: str, dtype: str, device: str) -> list[np.ndarray]:
    arguments = [str(folder), when, dtype, device, str(out / "images.npy"), str(out / "found.npz")]
    subprocess.run([sys.executable, "-c", CALLS, *arguments], check=True)
    with np.load(out / "found.npz") as found:
        return [found[name] for name in found]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["conditional", "conv"])
def test_torch_s_defaults_change_nothing(tmp_path: Path, kind: str) -> None:
    images = noise(40, 3, 32, 32)
    np.save(tmp_path / "images.npy", images[:6])
    labels = np.arange(40) % 10 if kind == "conditional" else None
    conv = {"architecture": "conv", "hidden": (4, 6), "likelihood": "gaussian", "calibrated": True}
    trained(tmp_path / "models", images, labels, **(conv if kind == "conv" else {}))
    expected = answers(tmp_path / "models", tmp_path, "before", "float32", "cpu")
    for when, dtype, device in (("before", "float64", "meta"), ("after", "bfloat16", "meta")):
        found = answers(tmp_path / "models", tmp_path, when, dtype, device)
        for name, one, other in zip("zdris", found, expected, strict=True):
            assert np.array_equal(one, other), (when, dtype, name)
