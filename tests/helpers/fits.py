"""A small training of three components, and what its states are compared by."""

import torch

from tests.helpers.models import model, row, start, train
from vae.stack import TrainingState

MODEL = model(latent=4, hidden=(16,))
TRAIN = train(epochs=4, batch_size=10, learning_rate=0.01)
COMPONENTS = ("red", "green", "blue")
IMAGES = torch.randint(0, 256, (3, 64, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def fresh(*components: str) -> list[TrainingState]:
    return [start(c, row(IMAGES.shape[-1]), MODEL, TRAIN.seed) for c in components]


def images(*components: str) -> torch.Tensor:
    return IMAGES[[COMPONENTS.index(c) for c in components]]


def last(epochs: object) -> list[TrainingState]:
    return [epoch.states() for epoch in epochs][-1]  # type: ignore[attr-defined]


def assert_same(a: TrainingState, b: TrainingState) -> None:
    assert (a.component, a.epoch, a.steps, a.history) == (b.component, b.epoch, b.steps, b.history)
    for tensors in ("weights", "first_moments", "second_moments"):
        for name, tensor in getattr(a, tensors).items():
            assert torch.equal(tensor, getattr(b, tensors)[name]), name


def distance(a: TrainingState, b: TrainingState) -> float:
    """The largest relative L2 distance of two models' weights."""
    return max(float((a.weights[n] - b.weights[n]).norm() / b.weights[n].norm()) for n in a.weights)
