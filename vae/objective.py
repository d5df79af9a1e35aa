"""The negative evidence lower bound, term by term, in nats (Kingma & Welling 2014)."""

from typing import NamedTuple

import torch
from torch import Tensor

from vae.model import VAE


class Terms(NamedTuple):
    """The two terms, (C, B), nats an image, whose sum is the cost; and the posterior means they came from."""

    reconstruction: Tensor  # -log p(x|z), summed over pixels, at one sample z of q(z|x)
    kl: Tensor  # KL(q(z|x) || N(0, I)), summed over latent units, in closed form
    mu: Tensor  # (C, B, K)


def gaussian_kl(mu_CBK: Tensor, logvar_CBK: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) || N(0, I)) summed over latent units, (C, B)."""
    return 0.5 * (mu_CBK.square() + logvar_CBK.exp() - 1 - logvar_CBK).sum(-1)


def negative_elbo(model: VAE, x_CBD: Tensor, noise_CBK: Tensor) -> Terms:
    """One-sample estimate for pixels in [0, 1] and standard normal noise: z = mu + sigma * noise."""
    mu, logvar = model.encode(x_CBD)
    logits = model.decode(mu + torch.exp(0.5 * logvar) * noise_CBK)
    return Terms(-model.likelihood.log_prob(logits, x_CBD), gaussian_kl(mu, logvar), mu)
