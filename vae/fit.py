"""Fitting a stack of models: a generator that yields once an epoch.

    states = [initial_state(c, 1024, model_config, seed) for c in ("red", "green", "blue")]
    for epoch in fit(images_CND, states, train_config):
        print(epoch.number, [record.cost for record in epoch.records])
    models = epoch.states()

Nothing here depends on what else is in the stack or on how many replicas there are, except rounding.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch import distributed as dist

from vae import objective, randomness
from vae.config import TrainConfig
from vae.evaluate import evaluate
from vae.stack import Record, Stack, State


@dataclass(frozen=True)
class Shard:
    """One of several data-parallel replicas of a stack: it steps its slice of every batch."""

    index: int = 0
    count: int = 1
    group: dist.ProcessGroup | None = None  # the replicas, when there are several

    def part(self, batch_size: int) -> slice:
        """This replica's images of a batch; slices may differ by one image."""
        return slice(self.index * batch_size // self.count, (self.index + 1) * batch_size // self.count)

    def sum(self, tensor: Tensor) -> None:
        """Add up over the replicas, in place."""
        if self.count > 1:
            dist.all_reduce(tensor, group=self.group)


@dataclass(frozen=True)
class Epoch:
    """One finished epoch. `states` copies the models to the host: call it before the generator goes on, and
    only where the models are kept."""

    number: int  # from 1
    records: list[Record]  # a training record a component, then a validation record a component if asked
    states: Callable[[], list[State]]


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
    states: Sequence[State],
    config: TrainConfig,
    *,
    validation_CND: Tensor | None = None,
    device: str | torch.device = "cpu",
    shard: Shard = Shard(),
) -> Iterator[Epoch]:
    """Step C models from where `states` are to `config.epochs`.

    Args:
        images_CND: uint8, 0 to 255, the training images of each component of the stack.
        states: one a component, all after the same epoch; they are not changed.
        validation_CND: uint8; where given, each epoch also measures it.
        device: where the images and the models live while they are stepped.
        shard: which replica this process is. The batch size counts the images of all replicas.

    Raises:
        ValueError: the arguments do not fit each other.
        CostNotFinite: a cost became NaN or infinite. Epochs yielded before remain good.
    """
    models, images, _ = images_CND.shape
    batch_size, first = config.batch_size, states[0].epoch + 1
    if models != len(states) or any(state.epoch != states[0].epoch for state in states):
        raise ValueError(f"{models} sets of images need as many states, all after the same epoch")
    if images < batch_size:
        raise ValueError(f"batch_size {batch_size} is more than the {images} training images")
    if batch_size < shard.count:
        raise ValueError(f"batch_size {batch_size} is less than one image for each of {shard.count} replicas")

    device = torch.device(device)
    components = tuple(state.component for state in states)
    histories = [list(state.history) for state in states]
    stack = Stack(states, device)
    step = Step(stack, images_CND.to(device), config, shard)
    validation = None if validation_CND is None else validation_CND.to(device)

    def draw(epoch: int) -> randomness.EpochDraw:
        latent = states[0].config.latent
        return randomness.draw_epoch(config.seed, components, epoch, images, batch_size, latent)

    # Numbers for the next epoch are drawn while this one is stepped.
    with ThreadPoolExecutor(1, "draw") as pool:
        upcoming = pool.submit(draw, first)
        for epoch in range(first, config.epochs + 1):
            numbers = upcoming.result()
            if epoch < config.epochs:
                upcoming = pool.submit(draw, epoch + 1)
            means = [("train", step.run(numbers))]
            if validation is not None:
                measures = evaluate(stack.model, components, validation, config.seed)
                means.append(("validation", [(m.reconstruction, m.kl) for m in measures]))
            records = [
                Record(component, epoch, split, reconstruction + kl, reconstruction, kl)
                for split, of_models in means
                for component, (reconstruction, kl) in zip(components, of_models, strict=True)
            ]
            _check_finite(records)
            for component, history in zip(components, histories, strict=True):
                history.extend(r for r in records if r.component == component)
            yield Epoch(epoch, records, partial(stack.states, epoch, histories))


class Step:
    """One optimiser step, and a loop of them with nothing in between that waits for the device."""

    def __init__(self, stack: Stack, images_CND: Tensor, config: TrainConfig, shard: Shard) -> None:
        models, images, pixels = images_CND.shape
        self.stack, self.config, self.shard = stack, config, shard
        self.shape = (models, -1, pixels)
        self.pixels = images_CND.reshape(models * images, pixels)
        self.offsets = torch.arange(models, device=images_CND.device)[:, None] * images
        # Gradients are views of one buffer, so replicas exchange them in one message.
        sizes = [p.numel() for p in stack.parameters]
        self.gradients = torch.zeros(sum(sizes), device=images_CND.device)
        for parameter, part in zip(stack.parameters, self.gradients.split(sizes), strict=True):
            parameter.grad = part.view_as(parameter)

    def __call__(self, order_CB: Tensor, noise_CBK: Tensor) -> Tensor:
        """Step once; return the sums of reconstruction and KL over this replica's images, (2, C) nats."""
        rows = (order_CB + self.offsets).flatten()
        x_CBD = (self.pixels.index_select(0, rows) / 255).view(self.shape)
        terms = objective.negative_elbo(self.stack.model, x_CBD, noise_CBK)
        # Models are summed, so no gradient mixes; images are averaged over the whole batch.
        loss = (terms.reconstruction.sum() + terms.kl.sum()) / self.config.batch_size
        self.gradients.zero_()
        loss.backward()
        self.shard.sum(self.gradients)
        self.stack.step(self.config.learning_rate)
        return torch.stack([terms.reconstruction.detach().sum(1), terms.kl.detach().sum(1)])

    def run(self, numbers: randomness.EpochDraw) -> list[tuple[float, float]]:
        """An epoch of steps; reconstruction and KL of each model, nats averaged over all replicas' images."""
        part = self.shard.part(self.config.batch_size)
        device = self.pixels.device
        orders = numbers.order_CSB[:, :, part].to(device)
        noises = numbers.noise_CSBK[:, :, part].to(device)
        totals = torch.zeros(2, self.shape[0], dtype=torch.float64, device=device)
        steps = orders.shape[1]
        for s in range(steps):
            totals += self(orders[:, s], noises[:, s])
        self.shard.sum(totals)
        means_2C = totals.cpu() / (steps * self.config.batch_size)
        return [(reconstruction, kl) for reconstruction, kl in means_2C.T.tolist()]


def _check_finite(records: list[Record]) -> None:
    for record in records:
        if not math.isfinite(record.cost):
            raise CostNotFinite(record.component, record.epoch, record.cost)
