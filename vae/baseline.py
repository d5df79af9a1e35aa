"""What any model can be held against."""

import torch
from torch import Tensor


def entropy_floor(images: Tensor) -> float:
    """The least cost that any model can reach under the Bernoulli likelihood, nats an image.

    The cross-entropy of a pixel x with a prediction p is H(x) + KL(x || p) >= H(x), so the floor is the
    pixels' own entropy, summed over an image and averaged over the set. images: uint8, (N, ...).
    """
    counts = torch.bincount(images.flatten(), minlength=256).double()
    x = torch.arange(256, dtype=torch.float64) / 255
    entropy = -(torch.special.xlogy(x, x) + torch.special.xlogy(1 - x, 1 - x))
    return float((counts @ entropy) / images.shape[0])
