"""The variational auto-encoder, C of them at once: every weight has a leading axis of models.

A stack of C models is stepped together. They share no number, so each is what it would be alone, up to
rounding.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae import randomness
from vae.config import Activation, ModelConfig
from vae.likelihood import Bernoulli
from vae.linear import StackedLinear

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "softplus": F.softplus,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
}


class VAE(nn.Module):
    """C models of `pixels` inputs each. Weights are zero until a state is loaded (see `stack`)."""

    likelihood = Bernoulli

    def __init__(self, models: int, pixels: int, config: ModelConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        inward = (pixels, *config.hidden)
        outward = (config.latent, *reversed(config.hidden))
        self.encoder = nn.ModuleList(StackedLinear(models, i, o) for i, o in pairwise(inward))
        self.mu = StackedLinear(models, inward[-1], config.latent)
        # The paper deletes this head's bias.
        self.logvar = StackedLinear(models, inward[-1], config.latent, bias=False)
        self.decoder = nn.ModuleList(StackedLinear(models, i, o) for i, o in pairwise(outward))
        self.output = StackedLinear(models, outward[-1], pixels)

    def encode(self, x_CBD: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels in [0, 1] to the mean and log variance of q(z|x), each (C, B, K)."""
        h = x_CBD
        for layer in self.encoder:
            h = self.activation(layer(h))
        return self.mu(h), self.logvar(h)

    def decode(self, z_CBK: Tensor) -> Tensor:
        """Latents to the likelihood's parameters, (C, B, D)."""
        h = z_CBK
        for layer in self.decoder:
            h = self.activation(layer(h))
        return self.output(h)


def initial_weights(component: str, pixels: int, config: ModelConfig, seed: int) -> dict[str, Tensor]:
    """One model's weights before any step: Xavier-uniform (Glorot & Bengio 2010), biases zero.

    Drawn on the host from (seed, component) alone, so every placement starts from the same numbers.
    """
    draw = randomness.generator(seed, component, "weights")
    weights = {}
    for name, parameter in VAE(1, pixels, config).named_parameters():
        shape = parameter.shape[1:]
        if name.endswith("weight"):
            bound = (6 / (shape[0] + shape[1])) ** 0.5
            weights[name] = torch.from_numpy(draw.uniform(-bound, bound, shape).astype(np.float32))
        else:
            weights[name] = torch.zeros(shape)
    return weights
