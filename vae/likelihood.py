"""p(x|z): how the decoder's outputs become a distribution over pixels."""

import torch
from torch import Tensor
from torch.nn import functional as F


class Bernoulli:
    """Independent Bernoulli pixels with the decoder's outputs as logits; the paper's choice.

    On grey pixels this is the cross-entropy -x log p - (1-x) log(1-p), which is not a density: its
    normaliser is missing (Loaiza-Ganem & Cunningham 2019). So it is reported as a cost in nats and
    never as bits per dimension.
    """

    @staticmethod
    def log_prob(logits_CBD: Tensor, x_CBD: Tensor) -> Tensor:
        """Nats summed over pixels, (C, B), for x in [0, 1]."""
        return -F.binary_cross_entropy_with_logits(logits_CBD, x_CBD, reduction="none").sum(-1)

    @staticmethod
    def mean(logits_CBD: Tensor) -> Tensor:
        """E[x|z] in (0, 1), (C, B, D): the reconstruction."""
        return torch.sigmoid(logits_CBD)
