"""Encoder and decoder as multilayer perceptrons, the paper's architecture."""

from itertools import pairwise

from torch import Tensor, nn

from vae.activation import ACTIVATIONS
from vae.config import ModelConfig, Sizes
from vae.layers import StackedLinear, StackedTable


class Encoder(nn.Module):
    """Pixels to features, through `hidden` from first to last."""

    def __init__(self, models: int, sizes: Sizes, config: ModelConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        widths = (sizes.pixels, *config.hidden)
        self.layers = nn.ModuleList(StackedLinear(models, i, o) for i, o in pairwise(widths))
        # A label as one more one-hot input: a row of the first layer's weights.
        self.label = StackedTable(models, sizes.classes, widths[1]) if sizes.classes else None

    @staticmethod
    def features(sizes: Sizes, config: ModelConfig) -> int:
        return config.hidden[-1]

    def forward(self, x_CBD: Tensor, labels_CB: Tensor | None) -> Tensor:
        h = self.layers[0](x_CBD)
        if self.label is not None:
            h = h + self.label(labels_CB)
        for layer in self.layers[1:]:
            h = layer(self.activation(h))
        return self.activation(h)


class Decoder(nn.Module):
    """Latents to the likelihood's parameters, through `hidden` from last to first."""

    LEVEL = "output.bias"  # the parameter that is added to each pixel's output

    def __init__(self, models: int, sizes: Sizes, config: ModelConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        widths = (config.latent, *reversed(config.hidden))
        self.layers = nn.ModuleList(StackedLinear(models, i, o) for i, o in pairwise(widths))
        self.label = StackedTable(models, sizes.classes, widths[1]) if sizes.classes else None
        self.output = StackedLinear(models, widths[-1], sizes.pixels)

    def forward(self, z_CBK: Tensor, labels_CB: Tensor | None) -> Tensor:
        h = self.layers[0](z_CBK)
        if self.label is not None:
            h = h + self.label(labels_CB)
        for layer in self.layers[1:]:
            h = layer(self.activation(h))
        return self.output(self.activation(h))
