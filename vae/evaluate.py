"""Measures of fitted models on a set of images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vae import objective, precision, randomness
from vae.config import ACTIVE_VARIANCE, BOUND_SAMPLES, Architecture
from vae.model import VAE

BATCH = 1000  # images at a time; fixed, since it shapes the rounding
# Samples that the bound decodes at a time: what lies between two convolutions then fits a core's cache.
AT_ONCE: dict[Architecture, int] = {"mlp": 512, "conv": 128}


@dataclass(frozen=True)
class Evaluation:
    """One model on one set; nats are an image, summed over pixels or units, averaged over the set."""

    cost: float  # negative ELBO at one sample of z; reconstruction + kl
    reconstruction: float  # -log p(x|z)
    kl: float  # KL(q(z|x) || N(0, I))
    mse: float  # of the posterior mean's reconstruction, a pixel in [0, 1]
    variance: tuple[float, ...]  # (K,) of the posterior mean over the set

    @property
    def active_units(self) -> int:
        """Latent units whose posterior mean varies by more than ACTIVE_VARIANCE."""
        return sum(v > ACTIVE_VARIANCE for v in self.variance)


def evaluation_noise(components: Sequence[str], images: int, latent: int, seed: int) -> Tensor:
    """Noise of `evaluate`, standard normal, (C, N, K): a function of (seed, component), always the same."""
    draws = [randomness.generator(seed, component, "evaluation") for component in components]
    return torch.stack([torch.from_numpy(d.standard_normal((images, latent), "float32")) for d in draws])


@torch.no_grad()
@precision.exact()
def evaluate(
    model: VAE,
    components: Sequence[str],
    images_CND: Tensor,
    seed: int,
    labels_N: Tensor | None = None,
    noise_CNK: Tensor | None = None,
) -> list[Evaluation]:
    """Measure each model of a stack on its images, uint8, and, where it is told them, their labels.

    noise_CNK: `evaluation_noise` of these, where the caller measures again and again.
    """
    models, images, pixels = images_CND.shape
    latent = model.config.latent
    if noise_CNK is None:
        noise_CNK = evaluation_noise(components, images, latent, seed)
    sums = []  # of each batch: reconstruction, KL, squared error, mu and its square
    for start in range(0, images, BATCH):
        x = images_CND[:, start : start + BATCH] / 255
        labels = _labels(labels_N, start, models)
        noise = noise_CNK[:, start : start + BATCH].to(x.device)
        terms = objective.negative_elbo(model, x, noise.unsqueeze(2), labels)
        error = (model.likelihood.mean(model.decode(terms.mu, labels)) - x).square().sum(-1)
        scalars_C3 = torch.stack([terms.reconstruction.sum(1), terms.kl.sum(1), error.sum(1)], dim=1)
        sums.append(torch.cat([scalars_C3, terms.mu.sum(1), terms.mu.square().sum(1)], dim=1))
    # Batches add up in float64, on the host: not every device has it.
    means = torch.stack(sums).cpu().double().sum(0) / images
    means_C3, mu_CK, square_CK = means.split([3, latent, latent], dim=1)
    variance_CK = square_CK - mu_CK.square()
    return [
        Evaluation(reconstruction + kl, reconstruction, kl, error / pixels, tuple(variance))
        for (reconstruction, kl, error), variance in zip(means_C3.tolist(), variance_CK.tolist(), strict=True)
    ]


@dataclass(frozen=True)
class Bound:
    """Two bounds on one model's -log p(x), nats an image, averaged over the same images."""

    weighted: float  # by importance weights of BOUND_SAMPLES samples of z (Burda et al. 2016)
    cost: float  # by the ELBO, at the same samples

    @property
    def gain(self) -> float:
        """Part of the cost that is only the ELBO's looseness, at least."""
        return self.cost - self.weighted


@torch.no_grad()
@precision.exact()
def bound(
    model: VAE,
    component: str,
    images_ND: Tensor,
    seed: int,
    labels_N: Tensor | None = None,
    samples: int = BOUND_SAMPLES,
    advance: Callable[[int], None] = lambda images: None,
) -> Bound:
    """Bound one model (C = 1) on uint8 images; one image at a time, since more would leave a CPU's cache.

    advance: is called with the number of images that were bounded since its last call.
    """
    draw = randomness.generator(seed, component, "bound")
    latent = model.config.latent
    weighted = cost = 0.0
    for n in range(len(images_ND)):
        x = images_ND[None, n : n + 1] / 255
        labels = None if labels_N is None else labels_N[None, n : n + 1]
        noise = draw.standard_normal((1, 1, samples, latent), "float32")
        log_weights = objective.log_weights(
            model, x, torch.from_numpy(noise).to(x.device), labels, AT_ONCE[model.config.architecture]
        )
        weighted -= float(objective.importance_bound(log_weights).sum(dtype=torch.float64))
        cost -= float(log_weights.mean(-1).sum(dtype=torch.float64))
        advance(1)
    return Bound(weighted / len(images_ND), cost / len(images_ND))


@torch.no_grad()
@precision.exact()
def reconstruct(model: VAE, images_CND: Tensor, labels_N: Tensor | None = None) -> Tensor:
    """E[x|z] at the posterior mean z = mu, brightness in [0, 1], (C, N, D), on the host."""
    parts = []
    for start in range(0, images_CND.shape[1], BATCH):
        labels = _labels(labels_N, start, len(images_CND))
        mu, _ = model.encode(images_CND[:, start : start + BATCH] / 255, labels)
        parts.append(model.likelihood.mean(model.decode(mu, labels)).cpu())
    return torch.cat(parts, dim=1)


def _labels(labels_N: Tensor | None, start: int, models: int) -> Tensor | None:
    """A batch of them, (C, B): every model of a stack is told the same."""
    return None if labels_N is None else labels_N[start : start + BATCH].expand(models, -1)
