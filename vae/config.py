"""What a model is and how it is fitted: two frozen dataclasses, checked when they are made.

This module imports no torch, so the command line can check a params.yaml in milliseconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Activation = Literal["softplus", "tanh", "sigmoid", "relu", "gelu", "silu"]
Precision = Literal["fp32", "tf32", "bf16"]


@dataclass(frozen=True)
class ModelConfig:
    """A multilayer-perceptron VAE: pixels - hidden - latent - reversed(hidden) - pixels."""

    latent: int  # K, units of z
    hidden: tuple[int, ...]  # widths of the encoder's hidden layers, first to last: the paper's (m, n)
    activation: Activation  # after each hidden layer

    def __post_init__(self) -> None:
        _require("latent", self.latent, lambda v: v >= 1, "must be at least 1")
        _require("hidden", self.hidden, lambda v: len(v) >= 1, "must name at least one width")
        _require("hidden", self.hidden, lambda v: min(v) >= 1, "must hold widths of at least 1")


@dataclass(frozen=True)
class TrainConfig:
    """How a model is fitted: Adam over shuffled minibatches, the last partial batch dropped."""

    epochs: int  # passes over the training images
    batch_size: int  # images of a component in one step, over all replicas
    learning_rate: float  # Adam's step size
    seed: int  # of initial weights, order of images and noise
    precision: Precision  # of the factors of matrix products; everything else is float32

    def __post_init__(self) -> None:
        _require("epochs", self.epochs, lambda v: v >= 1, "must be at least 1")
        _require("batch_size", self.batch_size, lambda v: v >= 1, "must be at least 1")
        _require("learning_rate", self.learning_rate, lambda v: 0 < v <= 1, "must be above 0 and at most 1")
        _require("seed", self.seed, lambda v: v >= 0, "must be 0 or more")


def _require(field: str, value: Any, holds: Callable[[Any], bool], rule: str) -> None:
    if not holds(value):
        raise ValueError(f"{field} {rule}")
