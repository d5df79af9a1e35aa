"""Settings of models and of their training: frozen dataclasses, checked when they are made.

This module imports no torch, so the command line can check a params.yaml in milliseconds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

Channels = Literal["separate", "joint"]
Architecture = Literal["mlp", "conv"]
Activation = Literal["softplus", "tanh", "sigmoid", "relu", "gelu", "silu"]
Likelihood = Literal["bernoulli", "continuous_bernoulli", "gaussian"]
Decay = Literal["none", "cosine"]
Precision = Literal["fp32", "tf32", "bf16"]

# Variance of the posterior mean over a set of images above which a unit is active (Burda et al. 2016).
ACTIVE_VARIANCE = 0.01
MOST_WIDTH, MOST_LAYERS = 65_536, 64  # of a model: a file or a slip of the pen may ask for anything
LAYERS = f"must name 1 to {MOST_LAYERS} widths"
WIDTHS = f"must hold widths from 1 to {MOST_WIDTH:,}"
MOST_COUNT = 10**9  # of epochs, steps, images
COUNTED, STEPS = f"must be from 1 to {MOST_COUNT:,}", f"must be from 0 to {MOST_COUNT:,}"
BOUND_SAMPLES = 512  # of z for an image, in the importance-weighted bound


@dataclass(frozen=True)
class Sizes:
    """Image shape and classes of a model, taken from the data."""

    image: tuple[int, int, int]  # channels, height, width
    class_names: tuple[str, ...] = ()  # of a conditional model, which is told a place in them; else none

    @property
    def classes(self) -> int:
        """Number of classes that the model is told; 0: it is told none."""
        return len(self.class_names)

    @classmethod
    def described(cls, about: Mapping[str, Any]) -> "Sizes":
        """Sizes as `asdict` wrote them; files of before classes had names tell their number instead.

        Raises:
            KeyError, TypeError: they are none.
        """
        names = about["class_names"] if "class_names" in about else numbered(about["classes"])
        if not all(isinstance(name, str) for name in names):
            raise TypeError("class_names are no texts")
        return cls(tuple(about["image"]), tuple(names))

    @property
    def pixels(self) -> int:
        """D, numbers in an image."""
        return prod(self.image)


@dataclass(frozen=True)
class ModelConfig:
    """A VAE: pixels - encoder - latent - decoder - pixels."""

    channels: Channels  # a model for each colour channel, or one of all three
    architecture: Architecture
    latent: int  # K, units of z, of each model
    # mlp: the encoder's widths (the paper's m, n); conv: channels, each at half the size of the one before.
    hidden: tuple[int, ...]
    activation: Activation  # after each hidden layer
    likelihood: Likelihood  # p(x|z)
    centred: bool  # encoder and decoder start from the training images' mean
    shortcut: bool  # a linear map beside encoder and decoder
    calibrated: bool  # each unit's mean and scale are fitted to the prior by themselves
    conditional: bool  # encoder and decoder are told the label

    def __post_init__(self) -> None:
        bounds = f"must be from 1 to {MOST_WIDTH:,}"
        _require("latent", self.latent, lambda v: 1 <= v <= MOST_WIDTH, bounds)
        _require("hidden", self.hidden, lambda v: 1 <= len(v) <= MOST_LAYERS, LAYERS)
        _require("hidden", self.hidden, lambda v: 1 <= min(v) <= max(v) <= MOST_WIDTH, WIDTHS)
        _require(
            "conditional",
            self.conditional,
            lambda v: not v or self.channels == "joint",
            "must be false unless model.channels is joint",
        )


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training: Adam over shuffled minibatches, the last partial batch dropped."""

    epochs: int  # passes over the training images
    batch_size: int  # images of a component in one step, over all replicas
    learning_rate: float  # Adam's step size, at its highest
    warmup: int  # steps over which the learning rate rises to that
    decay: Decay  # of the learning rate: none, or as a cosine to zero at the last step
    kl_warmup: int  # steps over which the KL's weight in the loss rises to 1, in a line
    samples: int  # of z for each image in a step (the paper's L)
    shift: int  # pixels by which an image is moved at random, at most, in each direction, anew each epoch
    seed: int  # of initial weights, order of images and noise
    precision: Precision  # of the factors in products and convolutions; everything else is float32

    def __post_init__(self) -> None:
        _require("epochs", self.epochs, lambda v: 1 <= v <= MOST_COUNT, COUNTED)
        _require("batch_size", self.batch_size, lambda v: 1 <= v <= MOST_COUNT, COUNTED)
        _require("learning_rate", self.learning_rate, lambda v: 0 < v <= 1, "must be above 0 and at most 1")
        _require("warmup", self.warmup, lambda v: 0 <= v <= MOST_COUNT, STEPS)
        _require("kl_warmup", self.kl_warmup, lambda v: 0 <= v <= MOST_COUNT, STEPS)
        _require("samples", self.samples, lambda v: 1 <= v <= MOST_COUNT, COUNTED)
        _require("shift", self.shift, lambda v: 0 <= v <= 8, "must be from 0 to 8")
        _require("seed", self.seed, lambda v: 0 <= v < 2**63, "must be from 0 to 2^63 - 1")

    @property
    def schedule_depends_on_epochs(self) -> bool:
        """Whether the first epochs of a longer run would be others than these."""
        return self.decay != "none"


def numbered(classes: int) -> tuple[str, ...]:
    """Names of classes that have none but their numbers, from 0."""
    return tuple(map(str, range(classes)))


def _require(field: str, value: Any, holds: Callable[[Any], bool], rule: str) -> None:
    if not holds(value):
        raise ValueError(f"{field} {rule}")


# The paper's model and its training.
PAPER_MODEL = ModelConfig(
    channels="separate",
    architecture="mlp",
    latent=20,
    hidden=(500, 500),
    activation="softplus",
    likelihood="bernoulli",
    centred=False,
    shortcut=False,
    calibrated=False,
    conditional=False,
)
PAPER_TRAIN = TrainConfig(
    epochs=50,
    batch_size=100,
    learning_rate=0.001,
    warmup=0,
    decay="none",
    kl_warmup=0,
    samples=1,
    shift=0,
    seed=0,
    precision="fp32",
)
