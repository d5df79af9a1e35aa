"""The variational auto-encoder, C of them at once: every weight has a leading axis of models.

A stack of C models is stepped together. They share no number, so each is what it would be alone, up to
rounding.
"""

import math
from collections.abc import Iterable
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
        # mu and log variance side by side, so that one product makes both.
        self.heads = StackedLinear(models, features, 2 * config.latent, bias=False)
        self.mu_bias = nn.Parameter(torch.zeros(models, config.latent))  # the paper deletes logvar's
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
        mu, logvar = self.heads(h).split(self.config.latent, dim=-1)
        mu = mu + self.mu_bias.unsqueeze(1)
        if self.config.shortcut:
            mu = mu + self.inward(x_CBD)
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

    def by_name(self, tensors: Iterable[Tensor]) -> dict[str, Tensor]:
        """Tensors shaped as `parameters()`, one each, by the names that files give them; they share memory.

        A file holds the two heads by themselves.
        """
        named = {}
        for (name, _), tensor in zip(self.named_parameters(), tensors, strict=True):
            if name == "heads.weight":
                named["mu.weight"], named["logvar.weight"] = tensor.split(self.config.latent, dim=-1)
            else:
                named["mu.bias" if name == "mu_bias" else name] = tensor
        return named

    def weights(self) -> dict[str, Tensor]:
        """All that a model file holds, by name, with the stack's axis: parameters, and the mean image."""
        return self.by_name(self.parameters()) | dict(self.named_buffers())


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
    for name, parameter in model.by_name(model.parameters()).items():
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
