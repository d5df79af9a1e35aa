"""One optimiser step, and an epoch of them with nothing in between that waits for the device.

The step reads its images and its noise from buffers that stay where they are, at a place that is counted on
the device. So it is the same code everywhere: eager on a CPU and on Apple's GPUs, and on CUDA one graph that
is recorded once and replayed, since there the time of a step is the time to launch its hundred small kernels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from vae import objective, precision, randomness, schedule
from vae.config import TrainConfig
from vae.shift import shift_sources
from vae.stack import Stack

WARM_UP = 3  # steps before the recording, in which CUDA's libraries allocate what they need


@dataclass(frozen=True)
class Shard:
    """One of several data-parallel replicas of a stack: it steps its slice of every batch."""

    index: int = 0
    count: int = 1
    group: dist.ProcessGroup | None = None  # the replicas, when there are several

    def part(self, batch_size: int) -> slice:
        """This replica's images of a batch; slices may differ by one image."""
        return slice(self.index * batch_size // self.count, (self.index + 1) * batch_size // self.count)

    def sum(self, *tensors: Tensor) -> list[Tensor]:
        """Each tensor added up over the replicas, all in one message."""
        if self.count == 1:
            return list(tensors)
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat, group=self.group)
        parts = flat.split([tensor.numel() for tensor in tensors])
        return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


ALONE = Shard()


class Step:
    """A stack's optimiser steps on its images."""

    def __init__(
        self, stack: Stack, images_CND: Tensor, labels_N: Tensor | None, config: TrainConfig, shard: Shard
    ) -> None:
        """images_CND: uint8; labels_N: int64, where the model is told them; both on the stack's device."""
        models, images, pixels = images_CND.shape
        device = images_CND.device
        self.stack, self.config, self.shard = stack, config, shard
        self.pixels, self.labels = images_CND.reshape(models * images, pixels), labels_N
        self.offsets_C1 = torch.arange(models, device=device)[:, None] * images
        self.part = shard.part(config.batch_size)
        steps, batch = images // config.batch_size, self.part.stop - self.part.start
        self.order_SCB = torch.zeros(steps, models, batch, dtype=torch.int64, device=device)
        self.noise_SCBLK = torch.zeros(steps, models, batch, config.samples, stack.latent, device=device)
        self.shift_SCB = torch.zeros(steps, models, batch, dtype=torch.int64, device=device)
        self.sources_MD = shift_sources(stack.sizes, config.shift).to(device) if config.shift else None
        self.rate_S = torch.zeros(steps, device=device)
        self.kl_weight_S = torch.zeros(steps, device=device)
        self.terms_S2C = torch.zeros(steps, 2, models, device=device)
        self.next = torch.zeros(1, dtype=torch.int64, device=device)
        # Messages between replicas are not recorded.
        self.advance = self._recorded() if device.type == "cuda" and shard.count == 1 else self._step

    def run(self, epoch: int, numbers: randomness.EpochDraw) -> list[tuple[float, float]]:
        """An epoch of steps; reconstruction and KL of each model, nats averaged over all replicas' images."""
        self.order_SCB.copy_(numbers.order_SCB[:, :, self.part], non_blocking=True)
        self.noise_SCBLK.copy_(numbers.noise_SCBLK[:, :, self.part], non_blocking=True)
        self.shift_SCB.copy_(numbers.shift_SCB[:, :, self.part], non_blocking=True)
        steps = len(self.order_SCB)
        rates, kl_weights = schedule.epoch(self.config, steps, epoch)
        self.rate_S.copy_(torch.tensor(rates))
        self.kl_weight_S.copy_(torch.tensor(kl_weights))
        self.next.zero_()
        for _ in range(steps):
            self.advance()
        # The one reading back of an epoch. Float64 is for the host: not every device has it.
        (totals_2C,) = self.shard.sum(self.terms_S2C.cpu().double().sum(0))
        means_2C = totals_2C / (steps * self.config.batch_size)
        return [(reconstruction, kl) for reconstruction, kl in means_2C.T.tolist()]

    def _step(self) -> None:
        order_CB, noise_CBLK, rate, kl_weight = (
            tensor.index_select(0, self.next).squeeze(0)
            for tensor in (self.order_SCB, self.noise_SCBLK, self.rate_S, self.kl_weight_S)
        )
        rows = (order_CB + self.offsets_C1).flatten()
        x_RD = self.pixels.index_select(0, rows)
        if self.sources_MD is not None:
            moves = self.shift_SCB.index_select(0, self.next).flatten()
            x_RD = x_RD.gather(1, self.sources_MD.index_select(0, moves))
        x_CBD = x_RD.float().div_(255).view(*order_CB.shape, -1)
        labels_CB = None if self.labels is None else self.labels[order_CB]
        with precision.rounded(self.config.precision, rows.device):
            terms = objective.negative_elbo(self.stack.model, x_CBD, noise_CBLK, labels_CB)
            sums_2C = torch.stack([terms.reconstruction.sum(1), terms.kl.sum(1)])
            # Models are summed, so no gradient mixes; images are averaged over the whole batch.
            loss = (sums_2C[0] + kl_weight * sums_2C[1]).sum() / self.config.batch_size
            gradients = torch.autograd.grad(loss, self.stack.parameters)
        self.stack.step(self.shard.sum(*gradients), rate)
        self.terms_S2C.index_copy_(0, self.next, sums_2C.detach().unsqueeze(0))
        self.next.add_(1)

    def _recorded(self) -> Callable[[], None]:
        """The step as one CUDA graph. Steps to warm up are undone."""
        before = [tensor.clone() for tensor in self.stack.tensors()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self.next.zero_()
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        with torch.no_grad():
            for tensor, value in zip(self.stack.tensors(), before, strict=True):
                tensor.copy_(value)
        return graph.replay
