"""Content of reports: metrics, pictures, and the page written."""

import math
from pathlib import Path

import numpy as np

from pipeline.report import page

MODEL = {
    "cost": 640.0,
    "reconstruction": 634.0,
    "kl": 6.0,
    "floor": 600.0,
    "excess": 40.0,
    "iw_cost": 638.5,
    "iw_gain": 1.25,
    "linear_cost": 630.0,
    "active_units": 4,
    "parameters": 1_556_064,
    "mse": 0.01,
    "pca_mse": 0.005,
}


PICTURES = {
    "mse": 0.0123,
    "psnr": 21.25,
    "ssim": 0.512,
    "pca_mse": 0.0041,
    "pca_psnr": 25.5,
    "pca_ssim": 0.75,
}


RGB = {"cost": 1920.0, "floor": 1800.0, "excess": 120.0, "linear_cost": 1890.0, "iw_gain": 3.75} | PICTURES


SAMPLES = {"classifier_accuracy": 0.931, "sample_accuracy": 0.82, "sample_deviation": 0.91}


DRAW = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return DRAW.integers(0, 256, (*shape, 32, 32), dtype=np.uint8)


def stripes(*shape: int) -> np.ndarray:
    """Pictures that are quickly compressed, each of its own brightness."""
    count = math.prod(shape)
    brightness = np.linspace(0, 200, count).astype(np.uint8).reshape(*shape, 1, 1)
    return brightness + np.arange(32, dtype=np.uint8)


def written(tmp_path: Path, content: page.Content) -> str:
    page.write(tmp_path / "index.html", content)
    return (tmp_path / "index.html").read_text()
