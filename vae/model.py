"""The variational auto-encoder, C of them at once: every weight has a leading axis of models.

A stack of C models is stepped together. They share no number, so each is what it would be alone, up to
rounding.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vae import conv, mlp, randomness
from vae.config import Architecture, ModelConfig, Sizes
from vae.layers import StackedLinear
from vae.likelihood import LIKELIHOODS, PixelLikelihood

ARCHITECTURES: dict[Architecture, Any] = {"mlp": mlp, "conv": conv}


MEAN = "mean"  # the one entry of a model's weights that is not fitted


class VAE(nn.Module):
    """C models. Weights are zero until a state is loaded (see `stack`)."""

    mean: Tensor

    def __init__(self, models: int, sizes: Sizes, config: ModelConfig) -> None:
        super().__init__()
        architecture = ARCHITECTURES[config.architecture]
        self.encoder = architecture.Encoder(models, sizes, config)
        features = architecture.Encoder.features(sizes, config)
        self.mu = StackedLinear(models, features, config.latent)
        # The paper deletes this head's bias.
        self.logvar = StackedLinear(models, features, config.latent, bias=False)
        self.decoder = architecture.Decoder(models, sizes, config)
        self.sizes, self.config = sizes, config
        if config.shortcut:
            self.inward = StackedLinear(models, sizes.pixels, config.latent, bias=False)
            self.outward = StackedLinear(models, config.latent, sizes.pixels, bias=False)
        if config.calibrated:
            self.offset = nn.Parameter(torch.zeros(models, config.latent))
            self.log_scale = nn.Parameter(torch.zeros(models, config.latent))
        if config.centred:
            self.register_buffer(MEAN, torch.zeros(models, sizes.pixels))
        self.likelihood: PixelLikelihood = LIKELIHOODS[config.likelihood](models)

    def encode(self, x_CBD: Tensor, labels_CB: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Brightness in [0, 1] to the mean and log variance of q(z|x), each (C, B, K)."""
        if self.config.centred:
            x_CBD = x_CBD - self.mean.unsqueeze(1)
        h = self.encoder(x_CBD, labels_CB)
        mu = self.mu(h)
        if self.config.shortcut:
            mu = mu + self.inward(x_CBD)
        logvar = self.logvar(h)
        if self.config.calibrated:
            # The decoder undoes it, so only the KL sees it: the posteriors' average comes to the prior.
            scale = self.log_scale.unsqueeze(1)
            return (mu - self.offset.unsqueeze(1)) * torch.exp(-scale), logvar - 2 * scale
        return mu, logvar

    def decode(self, z_CBK: Tensor, labels_CB: Tensor | None = None) -> Tensor:
        """Latents to the likelihood's parameters, (C, B, D)."""
        if self.config.calibrated:
            z_CBK = z_CBK * self.log_scale.exp().unsqueeze(1) + self.offset.unsqueeze(1)
        outputs = self.decoder(z_CBK, labels_CB)
        if self.config.shortcut:
            outputs = outputs + self.outward(z_CBK)
        return outputs


def initial_weights(
    component: str, images_ND: Tensor, sizes: Sizes, config: ModelConfig, seed: int
) -> dict[str, Tensor]:
    """One model's weights before any step: Xavier-uniform (Glorot & Bengio 2010), biases zero.

    Drawn on the host from (seed, component), so every placement starts from the same numbers. A centred model
    also starts from the mean of the training images (uint8).
    """
    draw = randomness.generator(seed, component, "weights")
    weights = {}
    model = VAE(1, sizes, config)
    for name, parameter in model.named_parameters():
        shape = parameter.shape[1:]
        if name.endswith("weight") and conv.ZERO not in name:
            bound = (6 / ((shape[0] + shape[1]) * math.prod(shape[2:]))) ** 0.5
            weights[name] = torch.from_numpy(draw.uniform(-bound, bound, shape).astype(np.float32))
        else:
            weights[name] = torch.zeros(shape)
    if config.centred:
        mean_D = images_ND.sum(0, dtype=torch.int64).double() / (255 * len(images_ND))
        weights[MEAN] = mean_D.float()
        weights[f"decoder.{model.decoder.LEVEL}"] = model.likelihood.link(mean_D).float()
    return weights
