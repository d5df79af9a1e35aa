"""Measures of fitted models on a set of images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vae import objective, randomness
from vae.model import VAE

BATCH = 1000  # images at a time; fixed, since it shapes the rounding
ACTIVE = 0.01  # variance of the posterior mean over the set above which a unit is active (Burda et al. 2016)


@dataclass(frozen=True)
class Measures:
    """One model on one set; nats are an image, summed over pixels or units, averaged over the set."""

    cost: float  # negative ELBO at one sample of z; reconstruction + kl
    reconstruction: float  # -log p(x|z)
    kl: float  # KL(q(z|x) || N(0, I))
    mse: float  # of the posterior mean's reconstruction, a pixel in [0, 1]
    active_units: int  # latent units whose posterior mean varies over the set by more than ACTIVE


@torch.no_grad()
def evaluate(model: VAE, components: Sequence[str], images_CND: Tensor, seed: int) -> list[Measures]:
    """Measure each model of a stack on its images (uint8, on the model's device).

    The noise is a function of (seed, component), the same at every call.
    """
    _, images, pixels = images_CND.shape
    latent = model.mu.weight.shape[-1]
    draws = [randomness.generator(seed, component, "evaluation") for component in components]
    sums = []  # of each batch: reconstruction, KL, squared error, mu and its square
    for start in range(0, images, BATCH):
        x = images_CND[:, start : start + BATCH] / 255
        shape = (x.shape[1], latent)
        noise = torch.stack([torch.from_numpy(d.standard_normal(shape, "float32")) for d in draws])
        terms = objective.negative_elbo(model, x, noise.to(x.device))
        error = (model.likelihood.mean(model.decode(terms.mu)) - x).square().sum(-1)
        scalars_C3 = torch.stack([terms.reconstruction.sum(1), terms.kl.sum(1), error.sum(1)], dim=1)
        sums.append(torch.cat([scalars_C3, terms.mu.sum(1), terms.mu.square().sum(1)], dim=1))
    # Batches add up in float64, on the host: not every device has it.
    means = torch.stack(sums).cpu().double().sum(0) / images
    means_C3, mu_CK, square_CK = means.split([3, latent, latent], dim=1)
    variance = square_CK - mu_CK.square()
    active = (variance > ACTIVE).sum(1).tolist()
    return [
        Measures(reconstruction + kl, reconstruction, kl, error / pixels, units)
        for (reconstruction, kl, error), units in zip(means_C3.tolist(), active, strict=True)
    ]


@torch.no_grad()
def reconstruct(model: VAE, images_CND: Tensor) -> Tensor:
    """E[x|z] at the posterior mean z = mu, float32 in (0, 1), (C, N, D), on the host."""
    parts = []
    for start in range(0, images_CND.shape[1], BATCH):
        mu, _ = model.encode(images_CND[:, start : start + BATCH] / 255)
        parts.append(model.likelihood.mean(model.decode(mu)).cpu())
    return torch.cat(parts, dim=1)
