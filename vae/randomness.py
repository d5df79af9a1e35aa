"""Every random number, as a function of (seed, component, purpose, epoch).

Drawn on the host by numpy, never on the device: a CPU, a GPU and any number of replicas see the same
order of images and the same noise, and an epoch's numbers do not depend on the epochs before it, so a
resumed run draws what the uninterrupted one would have.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from vae.config import TrainConfig

Purpose = Literal["weights", "order", "noise", "shift", "evaluation", "bound", "samples"]


def generator(seed: int, component: str, purpose: Purpose, epoch: int = 0) -> np.random.Generator:
    """A stream of its own for each argument tuple (Philox is counter-based: streams never overlap)."""
    key = np.random.SeedSequence(seed, spawn_key=(epoch, *f"{component}/{purpose}".encode()))
    return np.random.Generator(np.random.Philox(key))


@dataclass(frozen=True)
class EpochDraw:
    """Random numbers of one epoch of one stack."""

    order_SCB: Tensor  # int64, for each step indices into the components' images; no index twice
    noise_SCBLK: Tensor  # float32, standard normal
    shift_SCB: Tensor  # int64, below (2 shift + 1)^2: which of its shifted copies an image is

    def of_images(self, images: slice) -> "EpochDraw":
        """The numbers of some images of each batch, next to each other in memory."""
        return EpochDraw(
            *(
                numbers[:, :, images].contiguous()
                for numbers in (self.order_SCB, self.noise_SCBLK, self.shift_SCB)
            )
        )

    def pinned(self) -> "EpochDraw":
        """Copy them to memory from which a GPU copies by itself."""
        return EpochDraw(
            *(numbers.pin_memory() for numbers in (self.order_SCB, self.noise_SCBLK, self.shift_SCB))
        )


def draw_epoch(
    config: TrainConfig, components: tuple[str, ...], epoch: int, images: int, latent: int
) -> EpochDraw:
    """The numbers of one epoch; the images of the last, partial batch are left out."""
    steps, batch = images // config.batch_size, config.batch_size

    def of_each(purpose: Purpose, draw: Callable[[np.random.Generator], np.ndarray]) -> Tensor:
        arrays = [draw(generator(config.seed, component, purpose, epoch)) for component in components]
        return torch.from_numpy(np.stack(arrays, axis=1))

    def order(draw: np.random.Generator) -> np.ndarray:
        return draw.permutation(images)[: steps * batch].reshape(steps, batch)

    def noise(draw: np.random.Generator) -> np.ndarray:
        return draw.standard_normal((steps, batch, config.samples, latent), np.float32)

    def shift(draw: np.random.Generator) -> np.ndarray:
        return draw.integers(0, (2 * config.shift + 1) ** 2, (steps, batch))

    return EpochDraw(of_each("order", order), of_each("noise", noise), of_each("shift", shift))
