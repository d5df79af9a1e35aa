"""Encoder and decoder as small residual convolutional networks, sized from the image.

Each of `hidden` is the channels of a level; a level has half the height and width of the one before it,
rounded up, and one residual block. The decoder mirrors the encoder.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.activation import ACTIVATIONS
from vae.config import ModelConfig, Sizes
from vae.layers import StackedConv, StackedLinear, StackedTable

ZERO = "closing"  # of a weight's name: it starts at zero


class Encoder(nn.Module):
    """Pixels to features: halve, add a residual, and so on down the levels."""

    def __init__(self, models: int, sizes: Sizes, config: ModelConfig) -> None:
        super().__init__()
        self.image, self.activation = sizes.image, ACTIVATIONS[config.activation]
        channels = (sizes.image[0], *config.hidden)
        self.down = nn.ModuleList(StackedConv(models, i, o, side=4, stride=2) for i, o in pairwise(channels))
        self.blocks = nn.ModuleList(Residual(models, c, config) for c in config.hidden)
        self.label = StackedTable(models, sizes.classes, config.hidden[0]) if sizes.classes else None

    @staticmethod
    def features(sizes: Sizes, config: ModelConfig) -> int:
        height, width = _levels(sizes, config)[-1]
        return config.hidden[-1] * height * width

    def forward(self, x_CBD: Tensor, labels_CB: Tensor | None) -> Tensor:
        h = x_CBD.unflatten(-1, self.image)
        for level, (down, block) in enumerate(zip(self.down, self.blocks, strict=True)):
            h = down(_even(h))
            if level == 0 and self.label is not None:
                h = h + self.label(labels_CB)[..., None, None]
            h = block(h)
        return self.activation(h).flatten(2)


class Decoder(nn.Module):
    """Latents to the likelihood's parameters: a residual, then double, up the levels."""

    LEVEL = "level"  # the parameter that is added to each pixel's output

    def __init__(self, models: int, sizes: Sizes, config: ModelConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.levels = _levels(sizes, config)
        self.smallest = (config.hidden[-1], *self.levels[-1])
        height, width = self.levels[-1]
        self.open = StackedLinear(models, config.latent, config.hidden[-1] * height * width)
        self.label = (
            StackedTable(models, sizes.classes, config.hidden[-1] * height * width) if sizes.classes else None
        )
        channels = (*reversed(config.hidden), sizes.image[0])
        self.blocks = nn.ModuleList(Residual(models, c, config) for c in reversed(config.hidden))
        # Four times the channels become a picture of twice the size.
        self.up = nn.ModuleList(StackedConv(models, i, 4 * o, side=3) for i, o in pairwise(channels))

        self.level = nn.Parameter(torch.zeros(models, sizes.pixels))

    def forward(self, z_CBK: Tensor, labels_CB: Tensor | None) -> Tensor:
        h = self.open(z_CBK)
        if self.label is not None:
            h = h + self.label(labels_CB)
        h = h.unflatten(-1, self.smallest)
        for block, up, (height, width) in zip(self.blocks, self.up, self.levels[-2::-1], strict=True):
            h = _doubled(up(self.activation(block(h))))[..., :height, :width]
        return h.flatten(2) + self.level.unsqueeze(1)


class Residual(nn.Module):
    """h + conv(act(conv(act(h)))); the last convolution starts at zero, so the block starts as h."""

    def __init__(self, models: int, channels: int, config: ModelConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.opening = StackedConv(models, channels, channels, side=3)
        self.closing = StackedConv(models, channels, channels, side=3)

    def forward(self, h: Tensor) -> Tensor:
        inner = self.opening(self.activation(h))
        return h + self.closing(self.activation(inner))


def _doubled(h: Tensor) -> Tensor:
    """Pictures (C, B, 4 I, H, W) as pictures of twice the size, (C, B, I, 2 H, 2 W), as F.pixel_shuffle does.

    Where channels lie next to each other they stay so: else the next convolution would have to lay them anew.
    """
    last = h.movedim(2, 4)
    if not last.is_contiguous():
        return F.pixel_shuffle(h, 2)
    # (C, B, H, W, I, 2, 2) to (C, B, H, 2, W, 2, I).
    blocks = last.unflatten(4, (-1, 2, 2)).permute(0, 1, 2, 5, 3, 6, 4).contiguous()
    return blocks.flatten(4, 5).flatten(2, 3).movedim(4, 2)


def _levels(sizes: Sizes, config: ModelConfig) -> list[tuple[int, int]]:
    """Height and width, of the picture and then of each level."""
    levels = [sizes.image[1:]]
    for _ in config.hidden:
        levels.append(tuple(-(-side // 2) for side in levels[-1]))  # type: ignore[arg-type]
    return levels


def _even(h: Tensor) -> Tensor:
    """Pictures with even sides: an odd one's last row once more."""
    # Not by F.pad, whose derivative has no order of adding up on a GPU.
    for side in (-1, -2):
        if h.shape[side] % 2:
            h = torch.cat([h, h.narrow(side, h.shape[side] - 1, 1)], dim=side)
    return h
