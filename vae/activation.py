"""Activations: the functions that follow each hidden layer."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from vae.config import Activation

ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "softplus": F.softplus,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
}
