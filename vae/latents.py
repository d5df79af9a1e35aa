"""Pictures from a model's latent space. Models are alone here (C = 1); pictures are brightness in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vae import randomness
from vae.model import VAE

BATCH = 1000  # pictures decoded at a time
REACH = 3.0  # standard deviations of the prior that a traversal goes to each side


def sample_prior(model: VAE, component: str, count: int, seed: int) -> Tensor:
    """Draws of z, (count, K), a function of (seed, component)."""
    draw = randomness.generator(seed, component, "samples")
    return torch.from_numpy(draw.standard_normal((count, model.config.latent), "float32"))


@torch.no_grad()
def decode(model: VAE, z_NK: Tensor, labels_N: Tensor | None = None) -> Tensor:
    """E[x|z], (N, D)."""
    parts = []
    for start in range(0, len(z_NK), BATCH):
        labels = None if labels_N is None else labels_N[None, start : start + BATCH]
        parts.append(model.likelihood.mean(model.decode(z_NK[None, start : start + BATCH], labels))[0])
    return torch.cat(parts)


def traverse(model: VAE, units: Sequence[int], steps: int, label: int | None = None) -> Tensor:
    """One unit at a time from -REACH to REACH, the others at 0, (units, steps, D)."""
    values = torch.linspace(-REACH, REACH, steps, dtype=torch.float32)
    z = torch.zeros(len(units), steps, model.config.latent, dtype=torch.float32)
    for row, unit in enumerate(units):
        z[row, :, unit] = values
    labels = None if label is None else torch.full((len(units) * steps,), label)
    return decode(model, z.flatten(0, 1), labels).unflatten(0, (len(units), steps))
