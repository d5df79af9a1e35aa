"""The negative evidence lower bound, term by term, in nats (Kingma & Welling 2014), and a tighter bound."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vae.model import VAE


class ElboTerms(NamedTuple):
    """The two terms, (C, B), nats an image, whose sum is the cost; and the posterior means they came from."""

    reconstruction: Tensor  # -log p(x|z), summed over pixels, averaged over the samples z of q(z|x)
    kl: Tensor  # KL(q(z|x) || N(0, I)), summed over latent units, in closed form
    mu: Tensor  # (C, B, K)


class Posterior(torch.autograd.Function):
    """q(z|x) = N(mu, exp(logvar)): samples z = mu + sigma noise, (C, B, L, K), and KL(q || N(0, I)), (C, B).

    The KL is summed over latent units, 0.5 Σ (mu² + sigma² - 1 - logvar).
    """

    @staticmethod
    def forward(ctx: Any, mu_CBK: Tensor, logvar_CBK: Tensor, noise_CBLK: Tensor) -> tuple[Tensor, Tensor]:
        deviation_CBK, excess_CBK = torch.exp(0.5 * logvar_CBK), torch.expm1(logvar_CBK)  # sigma, sigma² - 1
        ctx.save_for_backward(mu_CBK, deviation_CBK, excess_CBK, noise_CBLK)
        z_CBLK = torch.addcmul(mu_CBK.unsqueeze(2), deviation_CBK.unsqueeze(2), noise_CBLK)
        return z_CBLK, 0.5 * torch.addcmul(excess_CBK - logvar_CBK, mu_CBK, mu_CBK).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dz_CBLK: Tensor, dkl_CB: Tensor) -> tuple[Tensor, Tensor, None]:
        mu_CBK, deviation_CBK, excess_CBK, noise_CBLK = ctx.saved_tensors
        dkl_CB1 = dkl_CB.unsqueeze(-1)
        dmu_CBK = torch.addcmul(_over_samples(dz_CBLK), dkl_CB1, mu_CBK)
        ddeviation_CBK = _over_samples(dz_CBLK * noise_CBLK)
        dlogvar_CBK = 0.5 * torch.addcmul(dkl_CB1 * excess_CBK, ddeviation_CBK, deviation_CBK)
        return dmu_CBK, dlogvar_CBK, None


def _over_samples(terms_CBLK: Tensor) -> Tensor:
    return terms_CBLK.squeeze(2) if terms_CBLK.shape[2] == 1 else terms_CBLK.sum(2)


def negative_elbo(
    model: VAE, x_CBD: Tensor, noise_CBLK: Tensor, labels_CB: Tensor | None = None
) -> ElboTerms:
    """The estimate at L samples z = mu + sigma * noise, of brightness in [0, 1] and standard normal noise."""
    mu, logvar = model.encode(x_CBD, labels_CB)
    z_CBLK, kl_CB = Posterior.apply(mu, logvar, noise_CBLK)  # type: ignore[no-untyped-call]
    nll_CBL = _nll(model, x_CBD, z_CBLK, labels_CB)
    return ElboTerms(nll_CBL.mean(2) if nll_CBL.shape[2] > 1 else nll_CBL.squeeze(2), kl_CB, mu)


def log_weights(
    model: VAE, x_CBD: Tensor, noise_CBLK: Tensor, labels_CB: Tensor | None = None, at_once: int | None = None
) -> Tensor:
    """log p(x|z) p(z) / q(z|x), (C, B, L), at L samples z of q(z|x).

    Their mean bounds log p(x) from below: the ELBO. So does the logarithm of the mean of their exponentials,
    the tighter the larger L is (Burda et al. 2016). `at_once`: how many are decoded at a time; None: all.
    """
    mu, logvar = model.encode(x_CBD, labels_CB)
    z_CBLK = mu.unsqueeze(2) + torch.exp(0.5 * logvar).unsqueeze(2) * noise_CBLK
    # The normal distributions' constants cancel.
    prior = -0.5 * z_CBLK.square().sum(-1)
    posterior = -0.5 * (noise_CBLK.square() + logvar.unsqueeze(2)).sum(-1)
    parts = z_CBLK.split(at_once or z_CBLK.shape[2], dim=2)
    return prior - posterior - torch.cat([_nll(model, x_CBD, z, labels_CB) for z in parts], dim=2)


def importance_bound(log_weights_CBL: Tensor) -> Tensor:
    """log of the mean of L weights, (C, B)."""
    return torch.logsumexp(log_weights_CBL, -1) - math.log(log_weights_CBL.shape[-1])


def _nll(model: VAE, x_CBD: Tensor, z_CBLK: Tensor, labels_CB: Tensor | None) -> Tensor:
    """-log p(x|z), (C, B, L)."""
    samples = z_CBLK.shape[2]
    if samples > 1:
        # Each image once for each of its samples; of a single image without a copy.
        x_CBD = x_CBD.unsqueeze(2).expand(-1, -1, samples, -1).flatten(1, 2)
        labels_CB = None if labels_CB is None else labels_CB.repeat_interleave(samples, dim=1)
    outputs = model.decode(z_CBLK.flatten(1, 2), labels_CB)
    return model.likelihood.nll(outputs, x_CBD).unflatten(1, z_CBLK.shape[1:3])
