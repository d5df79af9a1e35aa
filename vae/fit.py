"""Fitting a stack of models: a generator that yields once an epoch.

    sizes = Sizes((1, 32, 32))
    components = ("red", "green", "blue")
    states = [
        initial_state(c, images_ND, sizes, model_config, seed)
        for c, images_ND in zip(components, images_CND, strict=True)
    ]
    for epoch in fit(images_CND, states, train_config):
        print(epoch.number, [record.cost for record in epoch.records])
    models = epoch.states()

Nothing here depends on what else is in the stack or on how many replicas there are, except rounding.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vae import randomness
from vae.config import TrainConfig
from vae.evaluate import evaluate, evaluation_noise
from vae.metrics import EpochMetrics
from vae.stack import Stack, TrainingState
from vae.step import ALONE, Replica, Step

# Epochs whose numbers are drawn ahead, each in a thread: a GPU steps three samples an image about as fast as
# one thread draws them.
AHEAD = 2


@dataclass(frozen=True)
class Epoch:
    """One finished epoch.

    `states` copies the models to the host: call it before the generator goes on, and only where the models
    are kept.
    """

    number: int  # from 1
    # A training record a component, then a validation record a component if asked.
    records: list[EpochMetrics]
    states: Callable[[], list[TrainingState]]


class CostNotFinite(ArithmeticError):
    """Training has diverged: the cost of a component is NaN or infinite."""

    def __init__(self, component: str, epoch: int, cost: float) -> None:
        super().__init__(component, epoch, cost)
        self.component, self.epoch, self.cost = component, epoch, cost

    def __str__(self) -> str:
        return (
            f"the cost of {self.component} became {self.cost} in epoch {self.epoch}: "
            "try a smaller train.learning_rate or another model.activation"
        )


def fit(
    images_CND: Tensor,
    states: Sequence[TrainingState],
    config: TrainConfig,
    *,
    labels_N: Tensor | None = None,
    validation_CND: Tensor | None = None,
    validation_labels_N: Tensor | None = None,
    device: str | torch.device = "cpu",
    replica: Replica = ALONE,
    record: bool = True,
) -> Iterator[Epoch]:
    """Step C models from where `states` are to `config.epochs`.

    Args:
        images_CND: uint8, 0 to 255, the training images of each component of the stack.
        states: one a component, all after the same epoch; they are not changed.
        labels_N: int64, where the models are conditional.
        validation_CND: the same of images that are not fitted; where given, each epoch also measures them.
        validation_labels_N: their labels, where the models are conditional.
        device: where the images and the models live while they are stepped.
        replica: which replica this process is. The batch size counts the images of all replicas.
        record: whether steps are recorded; else their operators are called one by one, for comparison.

    Raises:
        ValueError: the arguments do not fit each other.
        CostNotFinite: a cost became NaN or infinite. Epochs yielded before remain good.
    """
    _check(images_CND, states, config, labels_N, replica)
    images, first = images_CND.shape[1], states[0].epoch + 1
    device = torch.device(device)
    components = tuple(state.component for state in states)
    histories = [list(state.history) for state in states]
    stack = Stack(states, device)
    step = Step(stack, images_CND.to(device), _on(labels_N, device), config, replica, record=record)
    validation, validation_labels = _on(validation_CND, device), _on(validation_labels_N, device)
    count = 0 if validation is None else validation.shape[1]
    noise = evaluation_noise(components, count, stack.latent, config.seed).to(device)

    def draw(epoch: int) -> randomness.EpochDraw:
        whole = randomness.draw_epoch(config, components, epoch, images, stack.latent)
        numbers = whole.of_images(replica.slice_of(config.batch_size))
        return numbers.pinned() if device.type == "cuda" else numbers

    for epoch, numbers in _drawn(draw, range(first, config.epochs + 1)):
        means = [("train", step.run(epoch, numbers))]
        if validation is not None:
            measures = evaluate(stack.model, components, validation, config.seed, validation_labels, noise)
            means.append(("validation", [(m.reconstruction, m.kl) for m in measures]))
        records = [
            EpochMetrics(component, epoch, split, reconstruction + kl, reconstruction, kl)
            for split, of_models in means
            for component, (reconstruction, kl) in zip(components, of_models, strict=True)
        ]
        _check_finite(records)
        for component, history in zip(components, histories, strict=True):
            history.extend(r for r in records if r.component == component)
        yield Epoch(epoch, records, partial(stack.states, epoch, histories))


def _drawn(
    draw: Callable[[int], randomness.EpochDraw], epochs: range
) -> Iterator[tuple[int, randomness.EpochDraw]]:
    """Each epoch with its numbers, which are drawn while the epochs before it are stepped."""
    with ThreadPoolExecutor(AHEAD, "draw") as pool:
        upcoming = deque(pool.submit(draw, epoch) for epoch in epochs[:AHEAD])
        for epoch in epochs:
            numbers = upcoming.popleft().result()
            if epoch + AHEAD in epochs:
                upcoming.append(pool.submit(draw, epoch + AHEAD))
            yield epoch, numbers


def _check(
    images_CND: Tensor,
    states: Sequence[TrainingState],
    config: TrainConfig,
    labels_N: Tensor | None,
    replica: Replica,
) -> None:
    """Raise a ValueError unless the arguments of `fit` fit each other."""
    models, images, _ = images_CND.shape
    if models != len(states) or any(state.epoch != states[0].epoch for state in states):
        raise ValueError(f"{models} sets of images need as many states, all after the same epoch")
    if images < config.batch_size:
        raise ValueError(f"batch_size {config.batch_size} is more than the {images} training images")
    if config.batch_size < replica.count:
        raise ValueError(
            f"batch_size {config.batch_size} is less than one image for each of {replica.count} replicas"
        )
    if (states[0].sizes.classes > 0) != (labels_N is not None):
        raise ValueError("labels go with a conditional model, and with no other")


def _on(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)


def _check_finite(records: list[EpochMetrics]) -> None:
    for record in records:
        if not math.isfinite(record.cost):
            raise CostNotFinite(record.component, record.epoch, record.cost)
