"""Every random number, as a function of (seed, component, purpose, epoch).

Drawn on the host by numpy, never on the device: a CPU, a GPU and any number of replicas see the same
order of images and the same noise, and an epoch's numbers do not depend on the epochs before it, so a
resumed run draws what the uninterrupted one would have.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Purpose = Literal["weights", "order", "noise", "evaluation"]


def generator(seed: int, component: str, purpose: Purpose, epoch: int = 0) -> np.random.Generator:
    """A stream of its own for each argument tuple (Philox is counter-based: streams never overlap)."""
    key = np.random.SeedSequence(seed, spawn_key=(epoch, *f"{component}/{purpose}".encode()))
    return np.random.Generator(np.random.Philox(key))


@dataclass(frozen=True)
class EpochDraw:
    """What one epoch of one stack consumes."""

    order_SCB: Tensor  # int64, for each step indices into the components' images; no index twice
    noise_SCBK: Tensor  # float32, standard normal

    def pinned(self) -> "EpochDraw":
        """The same in memory from which a GPU copies by itself."""
        return EpochDraw(self.order_SCB.pin_memory(), self.noise_SCBK.pin_memory())


def draw_epoch(
    seed: int, components: tuple[str, ...], epoch: int, images: int, batch_size: int, latent: int
) -> EpochDraw:
    """The order and the noise of one epoch; the images of the last, partial batch are left out."""
    steps = images // batch_size
    used = steps * batch_size
    orders = [generator(seed, c, "order", epoch).permutation(images)[:used] for c in components]
    shape = (steps, batch_size, latent)
    noises = [generator(seed, c, "noise", epoch).standard_normal(shape, np.float32) for c in components]
    return EpochDraw(
        torch.from_numpy(np.stack([order.reshape(steps, batch_size) for order in orders], axis=1)),
        torch.from_numpy(np.stack(noises, axis=1)),
    )
