"""Shifted copies of images, edges repeated, as tables of pixels: a gather makes a batch of them."""

import torch
from torch import Tensor

from vae.config import Sizes


def shift_sources(sizes: Sizes, shift: int) -> Tensor:
    """Table of the pixel that comes to each place by each of M = (2 shift + 1)^2 moves, (M, D) int64.

    Move m goes down by m // (2 shift + 1) - shift pixels, and right by m % (2 shift + 1) - shift.
    """
    channels, height, width = sizes.image
    places = torch.arange(sizes.pixels).view(channels, height, width)
    steps = range(-shift, shift + 1)

    def along(side: int, step: int) -> Tensor:
        return (torch.arange(side) + step).clamp(0, side - 1)

    moved = [places[:, along(height, y)][:, :, along(width, x)] for y in steps for x in steps]
    return torch.stack(moved).flatten(1)
