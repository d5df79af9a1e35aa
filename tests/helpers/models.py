"""Configurations and first states for tests, each said by what it has other than the paper's."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vae.config import PAPER_MODEL, PAPER_TRAIN, ModelConfig, Sizes, TrainConfig, numbered
from vae.fit import fit
from vae.modelfile import save_model
from vae.stack import TrainingState, initial_state

Crops = tuple[np.ndarray, np.ndarray]  # images and their digits


def model(**changes: Any) -> ModelConfig:
    return replace(PAPER_MODEL, **changes)


def train(**changes: Any) -> TrainConfig:
    return replace(PAPER_TRAIN, **changes)


def square(side: int) -> Sizes:
    return Sizes((1, side, side))


def row(pixels: int) -> Sizes:
    return Sizes((1, 1, pixels))


def start(component: str, sizes: Sizes, config: ModelConfig, seed: int = 0) -> TrainingState:
    """A first state; its training images, of which a centred model keeps the mean, are noise."""
    draw = torch.Generator().manual_seed(1)
    noise = torch.randint(0, 256, (50, sizes.pixels), dtype=torch.uint8, generator=draw)
    return initial_state(component, noise, sizes, config, seed)


@contextmanager
def one_thread() -> Iterator[None]:
    """Small models on one thread: where cores are busy, several only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def trained(folder: Path, images: np.ndarray, labels: np.ndarray | None = None, **changes: Any) -> Path:
    """Small models of images (N, 3, H, W) uint8, a few epochs old, as `train` leaves them in its folder.

    With labels, a conditional model of ten.
    """
    joint = labels is not None or changes.get("channels") == "joint"
    channels = "joint" if joint else "separate"
    small = {"latent": 6, "hidden": (24,), "activation": "relu", "centred": True, "shortcut": True} | changes
    config = model(**small | {"channels": channels, "conditional": labels is not None})
    count, _, height, width = images.shape
    sizes = Sizes((3 if joint else 1, height, width), () if labels is None else numbered(10))
    folder.mkdir(parents=True)
    for c, name in enumerate(["rgb"] if joint else ["red", "green", "blue"]):
        pixels = torch.from_numpy(images if joint else images[:, c]).reshape(count, -1)
        first = initial_state(name, pixels, sizes, config, seed=0)
        told = None if labels is None else torch.from_numpy(labels.astype(np.int64))
        settings = train(epochs=4, batch_size=20, learning_rate=3e-3)
        with one_thread():
            *_, last = fit(pixels[None], [first], settings, labels_N=told)
        save_model(folder / f"{name}.safetensors", last.states()[0])
    return folder
