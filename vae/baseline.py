"""Baselines for any model: the least cost that is possible, and the best that linear maps do."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 1024  # images in memory as numbers at a time
# x (1 - x) averaged over pixels, below which all but a few are black or white: float32's rounding of it.
NO_GREY = 1e-6


def entropy_floor(images: Tensor) -> float:
    """The least cost that any model can reach under the Bernoulli likelihood, nats an image.

    The cross-entropy of a pixel x with a prediction p is H(x) + KL(x || p) >= H(x), so the floor is the
    pixels' own entropy, summed over an image and averaged over the set. images: uint8, (N, ...).
    """
    counts = torch.bincount(images.flatten(), minlength=256).double()
    x = torch.arange(256, dtype=torch.float64) / 255
    entropy = -(torch.special.xlogy(x, x) + torch.special.xlogy(1 - x, 1 - x))
    return float((counts @ entropy) / images.shape[0]) + 0.0  # no minus zero


@dataclass(frozen=True)
class PCA:
    """Principal components of images in brightness, x = byte / 255."""

    mean_D: Tensor  # float32
    axes_DK: Tensor  # float32, orthonormal, of the largest variance first
    variances_K: Tensor  # float64, along those axes
    rest: float  # variance summed over all other directions
    noise: float  # x (1 - x), averaged over pixels: the variance of a Bernoulli pixel of that brightness

    def reconstruct(self, images_ND: Tensor) -> Tensor:
        """uint8 to brightness in [0, 1], (N, D), through as many numbers an image as there are axes."""
        z_NK = (images_ND / 255 - self.mean_D) @ self.axes_DK
        return (z_NK @ self.axes_DK.T + self.mean_D).clamp(0, 1)


def reconstruction_error(pca: PCA, images_ND: Tensor) -> float:
    """Mean squared error a pixel of `pca.reconstruct` on uint8 images."""
    squares = (
        (pca.reconstruct(b) - b / 255).square().sum(dtype=torch.float64) for b in images_ND.split(BLOCK)
    )
    return float(sum(squares)) / images_ND.numel()


def fit_pca(images_ND: Tensor, latent: int) -> PCA:
    """The first `latent` components (no more than there are pixels) of uint8 images."""
    count, pixels = images_ND.shape
    total_D = torch.zeros(pixels, dtype=torch.int64)
    for block in images_ND.split(BLOCK):  # of all at once torch would make int64
        total_D += block.sum(0)
    mean_D = total_D.double() / (255 * count)
    covariance_DD = torch.zeros(pixels, pixels, dtype=torch.float64)
    for block in images_ND.split(BLOCK):
        centred = block / 255 - mean_D.float()
        covariance_DD += (centred.T @ centred).double()
    covariance_DD /= count
    variances_D, axes_DD = torch.linalg.eigh(covariance_DD.float())
    kept = min(latent, pixels)
    variances_K = variances_D.flip(0)[:kept].double()
    return PCA(
        mean_D.float(),
        axes_DD.flip(1)[:, :kept].contiguous(),
        variances_K,
        float(covariance_DD.trace() - variances_K.sum()),
        float((mean_D * (1 - mean_D) - covariance_DD.diagonal()).mean()),
    )


def linear_excess(pca: PCA, images_ND: Tensor) -> float | None:
    """Cost over the entropy floor of the best linear-Gaussian model, nats an image, to second order.

    Near x, the Bernoulli cross-entropy less its floor is (x - p)^2 / (2 v), with v the pixel's variance; so
    the best linear VAE is probabilistic PCA with that noise (Lucas et al. 2019). It keeps the axes whose
    variance exceeds v. Fitted to the images of `pca`, measured on these (uint8). None where pixels are black
    or white, and v is 0: every error of a linear model would cost without bound.
    """
    if pca.noise < NO_GREY:
        return None
    signal_K = (pca.variances_K - pca.noise).clamp_min(0)
    return _linear(pca, images_ND, signal_K, pca.noise)


def linear_cost(pca: PCA, images_ND: Tensor) -> float:
    """Minus the log-density of the best linear-Gaussian model with noise of its own, nats an image.

    Probabilistic PCA (Tipping & Bishop 1999), which a linear VAE with as many units reaches (Lucas et al.
    2019), on v = (byte + u) / 256 as the Gaussian likelihood has it. Fitted to the images of `pca`,
    measured on these (uint8).
    """
    scale, pixels = (255 / 256) ** 2, images_ND.shape[1]
    uniform = 1 / (12 * 256**2)
    left = pixels - len(pca.variances_K)
    noise = scale * pca.rest / max(1, left) + uniform
    whole_K = scale * pca.variances_K + uniform
    constant = 0.5 * pixels * math.log(2 * math.pi * noise)
    dequantised = 0.5 * uniform * (left / noise + float((1 / whole_K).sum()))
    return _linear(pca, images_ND, (whole_K - noise) / scale, noise / scale) + constant + dequantised


def _linear(pca: PCA, images_ND: Tensor, signal_K: Tensor, noise: float) -> float:
    """Nats over those of a model that knows each pixel; along an axis the variance is signal + noise."""
    total, along_K = 0.0, torch.zeros_like(signal_K)
    for block in images_ND.split(BLOCK):
        centred = block / 255 - pca.mean_D
        total += float(centred.square().sum(dtype=torch.float64))
        along_K += (centred @ pca.axes_DK).square().double().sum(0)
    across = (total - float(along_K.sum())) / len(images_ND)
    along_K /= len(images_ND)
    whole_K = signal_K + noise
    kept = 0.5 * (torch.log(whole_K / noise) + along_K / whole_K).sum()
    return float(kept) + 0.5 * across / noise
