"""p(x|z): how the decoder's outputs become a distribution over pixels.

Each class has `nll`, `mean` and `sample`, and `link`, the outputs whose mean is given. Pixels come and
go as brightness, x = byte / 255 in [0, 1]. A density is over v = (byte + u) / 256 with u uniform in [0, 1]
(dequantisation, Theis et al. 2016), and what counts is the log-density's expectation over u. That is exact,
and no u is drawn: both logarithms are polynomials in v of low degree. Outputs are (C, B, D).
"""

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vae.config import Likelihood

EDGE = 1e-3  # how near to 0 and 1 a mean may come in `link`


class PixelLikelihood(Protocol):
    """Interface of p(x|z): density, mean and samples of pixels, given the decoder's output."""

    density: bool  # whether it is one, so that bits per dimension have a meaning

    def nll(self, outputs_CBD: Tensor, x_CBD: Tensor) -> Tensor:
        """-log p(x|z), nats summed over pixels, (C, B), of brightness x in [0, 1]."""

    def mean(self, outputs_CBD: Tensor) -> Tensor:
        """E[x|z], brightness in [0, 1], (C, B, D): the reconstruction."""

    def sample(self, outputs_CBD: Tensor, uniform_CBD: Tensor) -> Tensor:
        """Brightness drawn by its inverse distribution function from uniform numbers in (0, 1)."""

    @staticmethod
    def link(mean_D: Tensor) -> Tensor:
        """The outputs of which a brightness is the mean."""


class Bernoulli(nn.Module):
    """Independent Bernoulli pixels with the decoder's outputs as logits; the paper's choice.

    On grey pixels this is the cross-entropy -x log p - (1-x) log(1-p), which is not a density: its
    normaliser is missing (Loaiza-Ganem & Cunningham 2019). So it is reported as a cost in nats and
    never as bits per dimension.
    """

    density = False

    def __init__(self, models: int) -> None:
        super().__init__()

    def nll(self, logits_CBD: Tensor, x_CBD: Tensor) -> Tensor:
        nats_CB: Tensor = _CrossEntropy.apply(logits_CBD, x_CBD)  # type: ignore[no-untyped-call]
        return nats_CB

    def mean(self, logits_CBD: Tensor) -> Tensor:
        return torch.sigmoid(logits_CBD)

    def sample(self, logits_CBD: Tensor, uniform_CBD: Tensor) -> Tensor:
        return (uniform_CBD < torch.sigmoid(logits_CBD)).to(logits_CBD.dtype)

    @staticmethod
    def link(mean_D: Tensor) -> Tensor:
        return torch.logit(mean_D, EDGE)


class ContinuousBernoulli(nn.Module):
    """The density proportional to p^v (1-p)^(1-v) on [0, 1] (Loaiza-Ganem & Cunningham 2019).

    In logits l it is l e^(vl) / (e^l - 1), whose logarithm is linear in v.
    """

    density = True

    def __init__(self, models: int) -> None:
        super().__init__()

    def nll(self, logits_CBD: Tensor, x_CBD: Tensor) -> Tensor:
        half = logits_CBD / 2
        return (_log_sinhc(half) - (2 * _dequantised(x_CBD) - 1) * half).sum(-1)

    def mean(self, logits_CBD: Tensor) -> Tensor:
        return _brightness(_continuous_mean(logits_CBD))

    def sample(self, logits_CBD: Tensor, uniform_CBD: Tensor) -> Tensor:
        # F(v) = (e^(vl) - 1) / (e^l - 1); for negative l its mirror image, which does not overflow.
        mirrored = logits_CBD < 0
        u = torch.where(mirrored, 1 - uniform_CBD, uniform_CBD)
        size = logits_CBD.abs().clamp_min(1e-3)
        v = 1 + torch.log(u + (1 - u) * torch.exp(-size)) / size
        return _brightness(torch.where(mirrored, 1 - v, v))

    @staticmethod
    def link(mean_D: Tensor) -> Tensor:
        # The mean grows with the logit: halve an interval until it is closed.
        wanted = _dequantised(mean_D.double()).clamp(EDGE, 1 - EDGE)
        low, high = torch.full_like(wanted, -2 / EDGE), torch.full_like(wanted, 2 / EDGE)
        for _ in range(60):
            middle = (low + high) / 2
            below = _continuous_mean(middle) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return low.to(mean_D.dtype)


class Gaussian(nn.Module):
    """Independent normal pixels around the decoder's outputs, with one learned deviation a model.

    The sigma-VAE of Rybkin et al. (2021): the deviation weighs reconstruction against KL by itself.
    """

    density = True
    # Adam moves a number by about the learning rate a step, and the deviation has to fall to a tenth.
    PACE = 10.0
    START = 0.2  # about that of a picture's pixels

    def __init__(self, models: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(models))

    def log_deviation(self) -> Tensor:
        """Logarithm of v's standard deviation, (C,)."""
        return math.log(self.START) + self.PACE * self.scale

    def nll(self, outputs_CBD: Tensor, x_CBD: Tensor) -> Tensor:
        log_deviation_C1 = self.log_deviation()[:, None]
        error_CB = (outputs_CBD - x_CBD).square().sum(-1) * (255 / 256) ** 2
        # Of u, which is uniform over 1/256: its variance.
        error_CB = error_CB + outputs_CBD.shape[-1] / (12 * 256**2)
        normaliser = outputs_CBD.shape[-1] * (log_deviation_C1 + 0.5 * math.log(2 * math.pi))
        return 0.5 * error_CB * torch.exp(-2 * log_deviation_C1) + normaliser

    def mean(self, outputs_CBD: Tensor) -> Tensor:
        return outputs_CBD.clamp(0, 1)

    def sample(self, outputs_CBD: Tensor, uniform_CBD: Tensor) -> Tensor:
        noise = self.log_deviation().exp()[:, None, None] * torch.special.ndtri(uniform_CBD)
        return _brightness(_dequantised(outputs_CBD) + noise)

    @staticmethod
    def link(mean_D: Tensor) -> Tensor:
        return mean_D


LIKELIHOODS: dict[Likelihood, type[Bernoulli] | type[ContinuousBernoulli] | type[Gaussian]] = {
    "bernoulli": Bernoulli,
    "continuous_bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
}


class _CrossEntropy(torch.autograd.Function):
    """-x log p - (1 - x) log(1 - p) = softplus(l) - x l of logits l, summed over pixels; by l: p - x."""

    @staticmethod
    def forward(ctx: Any, logits_CBD: Tensor, x_CBD: Tensor) -> Tensor:
        ctx.save_for_backward(logits_CBD, x_CBD)
        return torch.addcmul(F.softplus(logits_CBD), x_CBD, logits_CBD, value=-1).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_CB: Tensor) -> tuple[Tensor, None]:
        logits_CBD, x_CBD = ctx.saved_tensors
        g_CB1 = g_CB.unsqueeze(-1)
        # The derivative of softplus is p.
        weighted_p_CBD = torch.ops.aten.softplus_backward(g_CB1.expand_as(logits_CBD), logits_CBD, 1, 20)
        return torch.addcmul(weighted_p_CBD, x_CBD, g_CB1, value=-1), None


def _dequantised(x: Tensor) -> Tensor:
    """The middle of the interval of v that a brightness stands for."""
    return (255 * x + 0.5) / 256


def _brightness(v: Tensor) -> Tensor:
    return ((256 * v - 0.5) / 255).clamp(0, 1)


def _log_sinhc(t: Tensor) -> Tensor:
    """log(sinh(t) / t), even, smooth at 0."""
    size = t.abs()
    near = size < 0.1
    safe = torch.where(near, torch.ones_like(t), size)
    far = safe + torch.log1p(-torch.exp(-2 * safe)) - torch.log(2 * safe)
    square = torch.where(near, t, torch.zeros_like(t)).square()
    return torch.where(near, square / 6 - square.square() / 180, far)


def _continuous_mean(logits: Tensor) -> Tensor:
    """E[v] = 1 / (1 - e^-l) - 1 / l, in (0, 1)."""
    near = logits.abs() < 0.1
    safe = torch.where(near, torch.ones_like(logits), logits)
    far = 0.5 + 0.5 / torch.tanh(safe / 2) - 1 / safe
    return torch.where(near, 0.5 + logits / 12 - logits**3 / 720, far)
