"""The negative evidence lower bound, term by term, in nats (Kingma & Welling 2014), and a tighter bound."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vae.model import VAE


class ElboTerms(NamedTuple):
    """The two terms, (C, B), nats an image, whose sum is the cost; and the posterior means they came from."""

    reconstruction: Tensor  # -log p(x|z), summed over pixels, averaged over the samples z of q(z|x)
    kl: Tensor  # KL(q(z|x) || N(0, I)), summed over latent units, in closed form
    mu: Tensor  # (C, B, K)


def gaussian_kl(mu_CBK: Tensor, logvar_CBK: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, I)) summed over latent units, (C, B)."""
    return 0.5 * (mu_CBK.square() + logvar_CBK.exp() - 1 - logvar_CBK).sum(-1)


def negative_elbo(
    model: VAE, x_CBD: Tensor, noise_CBLK: Tensor, labels_CB: Tensor | None = None
) -> ElboTerms:
    """The estimate at L samples z = mu + sigma * noise, of brightness in [0, 1] and standard normal noise."""
    mu, logvar = model.encode(x_CBD, labels_CB)
    z_CBLK = mu.unsqueeze(2) + torch.exp(0.5 * logvar).unsqueeze(2) * noise_CBLK
    return ElboTerms(-_log_likelihood(model, x_CBD, z_CBLK, labels_CB).mean(2), gaussian_kl(mu, logvar), mu)


def log_weights(model: VAE, x_CBD: Tensor, noise_CBLK: Tensor, labels_CB: Tensor | None = None) -> Tensor:
    """log p(x|z) p(z) / q(z|x), (C, B, L), at L samples z of q(z|x).

    Their mean bounds log p(x) from below: the ELBO. So does the logarithm of the mean of their exponentials,
    the tighter the larger L is (Burda et al. 2016).
    """
    mu, logvar = model.encode(x_CBD, labels_CB)
    z_CBLK = mu.unsqueeze(2) + torch.exp(0.5 * logvar).unsqueeze(2) * noise_CBLK
    # The normal distributions' constants cancel.
    prior = -0.5 * z_CBLK.square().sum(-1)
    posterior = -0.5 * (noise_CBLK.square() + logvar.unsqueeze(2)).sum(-1)
    return _log_likelihood(model, x_CBD, z_CBLK, labels_CB) + prior - posterior


def importance_bound(log_weights_CBL: Tensor) -> Tensor:
    """log of the mean of L weights, (C, B)."""
    return torch.logsumexp(log_weights_CBL, -1) - math.log(log_weights_CBL.shape[-1])


def _log_likelihood(model: VAE, x_CBD: Tensor, z_CBLK: Tensor, labels_CB: Tensor | None) -> Tensor:
    """log p(x|z), (C, B, L)."""
    samples = z_CBLK.shape[2]
    if samples > 1:
        # Each image once for each of its samples.
        x_CBD = x_CBD.repeat_interleave(samples, dim=1)
        labels_CB = None if labels_CB is None else labels_CB.repeat_interleave(samples, dim=1)
    outputs = model.decode(z_CBLK.flatten(1, 2), labels_CB)
    return model.likelihood.log_prob(outputs, x_CBD).unflatten(1, z_CBLK.shape[1:3])
