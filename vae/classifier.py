"""A small convolutional classifier of images, to read whether a sample shows the label asked for.

It is no part of any model, and its own accuracy on test images stands beside every such reading.
"""

import math
from collections.abc import Generator
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae import randomness, schedule, tensorfile
from vae.adam import adam_step
from vae.config import Sizes
from vae.shift import shift_sources
from vae.tensorfile import ModelFileError

STEPS, BATCH = 1500, 100  # so the time does not grow with the set
RATE, WARMUP = 0.002, 200  # Adam's step size at its highest, and steps until then
SMOOTHING = 0.1  # of the labels: the share of a label that is spread over all
SHIFT = 2  # pixels that a training image is moved by, at most, in each direction
KEEP = 0.6  # share of the last features that is left in a step
WIDTHS = (32, 64, 128)
STREAM = "judge"  # names its random numbers; with another name it would be another classifier


class Classifier(nn.Module):
    """(B, channels, height, width) in [0, 1] to logits (B, classes)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        channels, height, width = sizes.image
        self.sizes = sizes
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(2)
            )
            for i, o in pairwise((channels, *WIDTHS))
        )
        shrink = 2 ** len(WIDTHS)
        self.features = nn.Linear(WIDTHS[-1] * (height // shrink) * (width // shrink), WIDTHS[-1])
        self.output = nn.Linear(WIDTHS[-1], sizes.classes)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """mask: (B, features), of the features that count, where some are dropped."""
        # Of each image its contrast counts, not its brightness.
        deviation, mean = torch.std_mean(x, dim=(1, 2, 3), keepdim=True)
        h = (x - mean) / (deviation + 0.05)
        for layer in self.layers:
            h = layer(h)
        h = F.relu(self.features(h.flatten(1)))
        return self.output(h if mask is None else h * mask)


def initial(sizes: Sizes, seed: int) -> Classifier:
    """Before any step: weights uniform within 1 / sqrt(inputs), biases zero."""
    model = Classifier(sizes)
    draw = randomness.generator(seed, STREAM, "weights")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                bound = 1 / math.sqrt(parameter[0].numel())
                values = draw.uniform(-bound, bound, parameter.shape).astype(np.float32)
                parameter.copy_(torch.from_numpy(values))
        for linear in (model.features, model.output):
            linear.bias.zero_()
    return model


def fit(model: Classifier, images: Tensor, labels: Tensor, seed: int) -> Generator[int]:
    """Step the model in place; yields after each of STEPS steps.

    images: (N, C, H, W) uint8; labels: (N,) int64.
    """
    parameters: list[Tensor] = list(model.parameters())
    first, second = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    draw, sources_MD = randomness.generator(seed, STREAM, "order"), shift_sources(model.sizes, SHIFT)
    model.train()
    for step in range(STEPS):
        chosen = torch.from_numpy(draw.integers(0, len(images), BATCH))
        mask = torch.from_numpy((draw.random((BATCH, WIDTHS[-1])) < KEEP).astype(np.float32)) / KEEP
        x = _shifted(images[chosen] / 255, sources_MD, draw)
        loss = F.cross_entropy(model(x, mask), labels[chosen], label_smoothing=SMOOTHING)
        gradients = torch.autograd.grad(loss, parameters)
        rate = torch.tensor(schedule.learning_rate(step, STEPS, RATE, WARMUP, "cosine"))
        adam_step(parameters, gradients, first, second, torch.tensor(step + 1.0), rate)
        yield step
    model.eval()


def save(path: Path, model: Classifier) -> None:
    """Write a classifier. Equal ones give equal bytes."""
    tensorfile.write(path, {"classifier": asdict(model.sizes)}, model.state_dict())


def load(path: Path) -> Classifier:
    """Read a classifier that `save` wrote.

    Raises:
        ModelFileError: the file is not there, damaged, or no classifier.
    """
    about, tensors = tensorfile.read(path)
    try:
        model = Classifier(Sizes.described(about["classifier"]))
        model.load_state_dict(tensors)
        kinds = {name: tensor.dtype for name, tensor in model.state_dict().items()}
        if any(
            tensor.dtype != kinds[name] or not tensor.isfinite().all() for name, tensor in tensors.items()
        ):
            raise ValueError("weights that are of another type, or not finite")
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise ModelFileError(f"{path}: not a classifier of this version ({reason})") from None
    return model.eval()


@torch.no_grad()
def predict(model: Classifier, images: Tensor) -> Tensor:
    """The label of each image, (N,) int64. images: (N, C, H, W), uint8 or brightness in [0, 1]."""
    parts = images.split(1000)
    return torch.cat([model(p / 255 if p.dtype == torch.uint8 else p).argmax(1) for p in parts])


def _shifted(x: Tensor, sources_MD: Tensor, draw: np.random.Generator) -> Tensor:
    """Each image moved by up to SHIFT pixels, its edge repeated."""
    down, right = torch.from_numpy(draw.integers(0, 2 * SHIFT + 1, (2, len(x))))
    return x.flatten(1).gather(1, sources_MD[down * (2 * SHIFT + 1) + right]).view_as(x)
