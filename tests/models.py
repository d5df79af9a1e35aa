"""Configurations and first states for tests, each said by what it has other than the paper's."""

from dataclasses import replace
from typing import Any

import torch

from vae.config import PAPER_MODEL, PAPER_TRAIN, ModelConfig, Sizes, TrainConfig
from vae.stack import State, initial_state


def model(**changes: Any) -> ModelConfig:
    return replace(PAPER_MODEL, **changes)


def train(**changes: Any) -> TrainConfig:
    return replace(PAPER_TRAIN, **changes)


def square(side: int) -> Sizes:
    return Sizes((1, side, side))


def row(pixels: int) -> Sizes:
    return Sizes((1, 1, pixels))


def start(component: str, sizes: Sizes, config: ModelConfig, seed: int = 0) -> State:
    """A first state; its training images, of which a centred model keeps the mean, are noise."""
    draw = torch.Generator().manual_seed(1)
    noise = torch.randint(0, 256, (50, sizes.pixels), dtype=torch.uint8, generator=draw)
    return initial_state(component, noise, sizes, config, seed)
