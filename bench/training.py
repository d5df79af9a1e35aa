"""What an entrant's process does: its loop over its channels, one after another."""

import re
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.entrant import Job, Result
from vae.accept import textbook
from vae.config import PAPER_MODEL, PAPER_TRAIN, ModelConfig, Sizes
from vae.fit import fit
from vae.model import initial_weights
from vae.stack import initial_state

SIZES = Sizes((1, 32, 32))


class Trained(NamedTuple):
    """One channel's training."""

    seconds: Sequence[float]  # of each epoch
    cost: float  # the mean over the last epoch's steps, nats an image
    start: float = 0.0  # seconds of compiling, before the first epoch


class Task(NamedTuple):
    """What a peer is to train: one channel."""

    images: Tensor  # (N, D) uint8
    component: str  # the engine's name of it
    weights: dict[str, Tensor]  # to start from, those that the engine starts from, by its names
    config: ModelConfig
    epochs: int
    batch_size: int
    device: str


Loop = Callable[[Task], Trained]


def run(job: Job) -> Iterator[Result | None]:
    """None when all is ready, then the result."""
    if job.threads:
        torch.set_num_threads(job.threads)
    stored = np.load(job.images, mmap_mode="r")
    images = torch.from_numpy(np.stack([stored[c, : job.count] for c in job.components]))
    yield None
    channels = _engine(job, images) if job.kind == "engine" else _peer(job, images)
    memory = torch.cuda.max_memory_allocated() if job.device == "cuda" else _peak()
    steps = images.shape[1] // job.batch_size * job.epochs
    yield Result(
        steps * job.batch_size * len(images),
        sum(sum(channel.seconds[1:]) for channel in channels),
        memory,
        tuple(channel.cost for channel in channels),
        channels[0].start,
    )


def _peak() -> int:
    """The most bytes that this process had resident."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage's, which is at least what the process had that this one was forked from.
        [peak] = re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        return int(peak) * 1024
    # In bytes on a Mac, else in kilobytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _engine(job: Job, images: Tensor) -> list[Trained]:
    """Channels of one stack, whose time is noted with the first."""
    config = replace(PAPER_TRAIN, epochs=job.epochs + 1, batch_size=job.batch_size, precision=job.precision)
    states = [
        initial_state(str(c), image, SIZES, PAPER_MODEL, seed=0)
        for c, image in zip(job.components, images, strict=True)
    ]
    seconds: list[float] = []
    started = time.perf_counter()
    for epoch in fit(images, states, config, device=job.device):
        seconds.append(time.perf_counter() - started)
        costs = [record.cost for record in epoch.records]
        started = time.perf_counter()
    return [Trained(seconds, costs[0]), *(Trained((), cost) for cost in costs[1:])]


def _peer(job: Job, images: Tensor) -> list[Trained]:
    loop = loop_of(job.kind)
    return [
        loop(Task(image, str(c), start, PAPER_MODEL, job.epochs + 1, job.batch_size, job.device))
        for c, image in zip(job.components, images, strict=True)
        for start in [initial_weights(str(c), image, SIZES, PAPER_MODEL, seed=0)]
    ]


def loop_of(kind: str) -> Loop:
    """A peer's loop; its library is imported here, and no other's."""
    match kind:
        case "textbook":
            return _textbook
        case "fused" | "compiled":
            from bench import torch_loop

            return partial(torch_loop.fit, compiled=kind == "compiled")
        case "jax":
            from bench import jax_loop

            return jax_loop.fit
        case "pythae":
            from bench import pythae_loop

            return pythae_loop.fit
    raise ValueError(f"{kind}: no such entrant")


def textbook_model(task: Task) -> textbook.VAE:
    """The textbook's, at its start."""
    model = textbook.VAE(task.images.shape[1], task.config)
    textbook.start_from(task.weights, model)
    return model


def _textbook(task: Task) -> Trained:
    model = textbook_model(task)
    return Trained(*textbook.fit(task.images, model, task.epochs, task.batch_size, task.device))
