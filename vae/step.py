"""One optimiser step, and an epoch of them with nothing in between that waits for the device.

The step reads its images and its noise from buffers that stay where they are, at a place that is counted on
the device. So it is the same code everywhere, and it is recorded once and replayed (see `recording`): a model
is so small that the time of a step is in good part the time to find out what to do next.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from vae import objective, precision, randomness, recording, schedule
from vae.config import TrainConfig
from vae.shift import shift_sources
from vae.stack import Stack


@dataclass(frozen=True)
class Replica:
    """One of several data-parallel replicas of a stack: it steps its slice of every batch."""

    index: int = 0
    count: int = 1
    group: dist.ProcessGroup | None = None  # the replicas, when there are several

    def slice_of(self, batch_size: int) -> slice:
        """This replica's images of a batch; slices may differ by one image."""
        return slice(self.index * batch_size // self.count, (self.index + 1) * batch_size // self.count)

    def sum(self, *tensors: Tensor) -> list[Tensor]:
        """Each tensor added up over the replicas, all in one message."""
        if self.count == 1:
            return list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat, group=self.group)
        totals = flat.split([tensor.numel() for tensor in tensors])
        return [total.view_as(tensor) for total, tensor in zip(totals, tensors, strict=True)]


ALONE = Replica()
Call = Callable[[], object]


class Step:
    """A stack's optimiser steps on its images."""

    def __init__(
        self,
        stack: Stack,
        images_CND: Tensor,
        labels_N: Tensor | None,
        config: TrainConfig,
        replica: Replica,
        *,
        record: bool = True,
    ) -> None:
        """images_CND: uint8; labels_N: int64, where the model is told them; both on the stack's device.

        record: whether the step is recorded; else its operators are called one by one, for comparison.
        """
        models, images, pixels = images_CND.shape
        device = images_CND.device
        self.stack, self.config, self.replica, self.device = stack, config, replica, device
        # The components' images one after the other, and their labels: an image is a row.
        self.pixels = images_CND.reshape(models * images, pixels)
        self.labels = None if labels_N is None else labels_N.repeat(models)
        self.offsets_C1 = torch.arange(models, device=device)[:, None] * images
        own = replica.slice_of(config.batch_size)
        steps, batch = images // config.batch_size, own.stop - own.start
        self.rows_SCB = torch.zeros(steps, models, batch, dtype=torch.int64, device=device)
        self.noise_SCBLK = torch.zeros(steps, models, batch, config.samples, stack.latent, device=device)
        self.shift_SCB = torch.zeros(steps, models, batch, dtype=torch.int64, device=device)
        self.sources_MD = shift_sources(stack.sizes, config.shift).to(device) if config.shift else None
        # Learning rate, weight of an image's KL in the loss, and number of the step, from 1.
        self.schedule_S3 = torch.zeros(steps, 3, device=device)
        # Weight of an image's reconstruction in the loss, which is the mean over the whole batch.
        self.reconstruction_weight = torch.tensor(1 / config.batch_size, device=device)
        self.terms_2SCB = torch.zeros(2, steps, models, batch, device=device)  # reconstruction and KL
        self.next = torch.zeros(1, dtype=torch.int64, device=device)
        if replica.count > 1:
            self.gradients = torch.zeros(sum(p.numel() for p in stack.parameters), device=device)
        self._calls = self._recorded() if record else self._as_calls(lambda function: function)

    def run(self, epoch: int, numbers: randomness.EpochDraw) -> list[tuple[float, float]]:
        """An epoch of steps on this replica's numbers; reconstruction and KL of each model.

        Nats, averaged over all replicas' images.
        """
        self.rows_SCB.copy_(numbers.order_SCB, non_blocking=True).add_(self.offsets_C1)
        self.noise_SCBLK.copy_(numbers.noise_SCBLK, non_blocking=True)
        self.shift_SCB.copy_(numbers.shift_SCB, non_blocking=True)
        steps = len(self.rows_SCB)
        rates, kl_weights = schedule.epoch(self.config, steps, epoch)
        counts = range(self.stack.steps + 1, self.stack.steps + steps + 1)
        of_an_image = [weight / self.config.batch_size for weight in kl_weights]
        self.schedule_S3.copy_(torch.tensor([rates, of_an_image, counts]).T)
        self.next.zero_()
        with precision.rounded(self.config.precision):
            for _ in range(steps):
                for call in self._calls:
                    call()
        self.stack.steps += steps
        # The one reading back of an epoch. Float64 is for the host: not every device has it.
        (totals_2C,) = self.replica.sum(self.terms_2SCB.sum(3).cpu().double().sum(1))
        means_2C = totals_2C / (steps * self.config.batch_size)
        return [(reconstruction, kl) for reconstruction, kl in means_2C.T.tolist()]

    def _as_calls(self, wrap: Callable[[Callable[[], None]], Call]) -> list[Call]:
        """The calls that make a step, in their order; what replicas tell each other is not wrapped."""
        if self.replica.count == 1:
            return [wrap(self._step)]
        return [
            wrap(self._keep_gradients),
            lambda: dist.all_reduce(self.gradients, group=self.replica.group),
            wrap(self._apply_kept_gradients),
        ]

    def _recorded(self) -> list[Call]:
        """The calls, recorded. What the steps that this takes change is put back."""
        before = [tensor.clone() for tensor in self.stack.tensors()]
        with precision.rounded(self.config.precision):
            calls = self._as_calls(lambda function: recording.record(function, self.device, self.next.zero_))
        with torch.no_grad():
            for tensor, value in zip(self.stack.tensors(), before, strict=True):
                tensor.copy_(value)
        return calls

    def _step(self) -> None:
        schedule_3 = self._now(self.schedule_S3)
        self._apply(self._differentiate(schedule_3), schedule_3)

    def _keep_gradients(self) -> None:
        found = self._differentiate(self._now(self.schedule_S3))
        torch.cat([gradient.flatten() for gradient in found], out=self.gradients)

    def _apply_kept_gradients(self) -> None:
        sizes = [parameter.numel() for parameter in self.stack.parameters]
        of_each = zip(self.gradients.split(sizes), self.stack.parameters, strict=True)
        self._apply([kept.view_as(parameter) for kept, parameter in of_each], self._now(self.schedule_S3))

    def _differentiate(self, schedule_3: Tensor) -> Sequence[Tensor]:
        """The gradients of this replica's part of a batch; its terms are noted."""
        rows_CB, noise_CBLK = self._now(self.rows_SCB), self._now(self.noise_SCBLK)
        x_RD = self.pixels.index_select(0, rows_CB.flatten())
        if self.sources_MD is not None:
            moves = self._now(self.shift_SCB).flatten()
            x_RD = x_RD.gather(1, self.sources_MD.index_select(0, moves))
        x_CBD = (x_RD / 255).view(*rows_CB.shape, -1)
        labels_CB = None if self.labels is None else self.labels[rows_CB]
        terms = objective.negative_elbo(self.stack.model, x_CBD, noise_CBLK, labels_CB)
        # Models are summed, so no gradient mixes.
        _, kl_weight, _ = schedule_3
        gradients = torch.autograd.grad(
            [terms.reconstruction, terms.kl],
            self.stack.parameters,
            [weight.expand_as(terms.kl) for weight in (self.reconstruction_weight, kl_weight)],
        )
        for noted_SCB, term_CB in zip(self.terms_2SCB, terms[:2], strict=True):
            noted_SCB.index_copy_(0, self.next, term_CB.detach().unsqueeze(0))
        return gradients

    def _apply(self, gradients: Sequence[Tensor], schedule_3: Tensor) -> None:
        """Let Adam step by the gradients of the whole batch."""
        rate, _, count = schedule_3
        self.stack.step(gradients, count, rate)
        self.next.add_(1)

    def _now(self, of_steps: Tensor) -> Tensor:
        """An entry for this step."""
        return of_steps.index_select(0, self.next).squeeze(0)
