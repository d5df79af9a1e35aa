"""What a rank does. This module runs in Ray's worker processes, never on the driver."""

import os
import re
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
import ray.train
import ray.train.torch
import torch
from torch import distributed as dist

from pipeline.common.errors import PipelineError
from pipeline.distributed import placement
from pipeline.distributed.status import EpochReport
from pipeline.runs.checkpoints import Checkpoints
from vae.config import ModelConfig, Sizes, TrainConfig
from vae.fit import CostNotFinite, Epoch, fit
from vae.stack import TrainingState, initial_state
from vae.step import Shard
from vae.tensorfile import ModelFileError

REPORT_SECONDS = 0.2  # between reports of a component: no display is faster

# What would happen again at every try, so the driver is told and nothing is retried.
NOT_RETRIED = (CostNotFinite, PipelineError, ModelFileError)


@dataclass(frozen=True)
class SplitRefs:
    """One split, as ranks get it."""

    pixels: dict[str, ray.ObjectRef]  # by component, (N, D) uint8
    labels: np.ndarray | None  # (N,), where the model is told them

    def stack(self, components: tuple[str, ...]) -> torch.Tensor:
        """(C, N, D) uint8. A stack of one is the node's shared copy, without copying."""
        arrays: list[np.ndarray] = ray.get([self.pixels[component] for component in components])
        with warnings.catch_warnings():
            # Ray's arrays are read-only, and nothing here writes to them.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            tensors = [torch.from_numpy(array) for array in arrays]
        return tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)

    def condition_labels(self) -> torch.Tensor | None:
        """The labels, (N,) int64."""
        return None if self.labels is None else torch.from_numpy(self.labels.astype(np.int64))


@dataclass(frozen=True)
class RankConfig:
    """All that ranks need to know, small enough to be sent to each; pixels travel as references."""

    run: str
    storage: str
    mark: str  # what the driver left in the storage
    components: tuple[str, ...]
    sizes: Sizes
    model: ModelConfig
    train: TrainConfig
    splits: dict[str, SplitRefs]  # train, and validation if there is one
    checkpoint_seconds: float  # between two checkpoints, or one epoch where that is longer
    status: Any  # BoardActor's handle


def train_rank(config: dict[str, RankConfig]) -> None:
    """Train this rank's share from the last whole checkpoint to the last epoch."""
    job = config["job"]
    try:
        _train(job)
    except NOT_RETRIED as error:
        ray.get(job.status.failed.remote(str(error)))
        raise


def _train(job: RankConfig) -> None:
    context = ray.train.get_context()
    rank, device = context.get_world_rank(), ray.train.torch.get_device()
    # One thread a rank: fastest with a rank a component, and the count shapes the rounding.
    torch.set_num_threads(1)
    plan = placement.plan(job.components, context.get_world_size())
    if rank >= len(plan.assignments):
        raise ValueError(f"rank {rank} has no share in {plan}: the driver asks for as many as have one")
    share = plan.assignments[rank]
    shard = Shard(share.replica, share.replicas, _replica_group(plan, rank))

    checkpoints = Checkpoints(job.storage, job.run, job.components)
    checkpoints.check_shared(job.mark, os.uname().nodename)
    done = _agree(checkpoints.latest() if rank == 0 else 0)
    if rank == 0:
        job.status.started.remote(done + 1, str(plan))
    training, held_out = job.splits["train"], job.splits.get("validation")
    images = training.stack(share.components)
    states = [
        _state(job, checkpoints, done, component, images[c]) for c, component in enumerate(share.components)
    ]
    epochs = fit(
        images,
        states,
        job.train,
        labels_N=training.condition_labels(),
        validation_CND=held_out.stack(share.components) if held_out else None,
        validation_labels_N=held_out.condition_labels() if held_out else None,
        device=device,
        shard=shard,
    )
    _checkpoint_loop(
        job, checkpoints, share, _explain_out_of_memory(epochs, share, done + 1), images.shape[1]
    )


def _explain_out_of_memory(
    epochs: Iterator[Epoch], share: placement.Assignment, first: int
) -> Iterator[Epoch]:
    """The epochs; a memory that does not suffice is named with the components and the epoch."""
    number = first
    try:
        for epoch in epochs:
            yield epoch
            number = epoch.number + 1
    except (MemoryError, RuntimeError) as error:
        # torch raises a plain RuntimeError where the host's memory is full.
        if isinstance(error, RuntimeError) and not re.search("out of memory|allocate memory", str(error)):
            raise
        raise PipelineError(
            f"out of memory while training {'+'.join(share.components)}, epoch {number} "
            f"({str(error).splitlines()[0]}); try more ranks, a smaller train.batch_size or model.hidden"
        ) from error


def _checkpoint_loop(
    job: RankConfig,
    checkpoints: Checkpoints,
    share: placement.Assignment,
    epochs: Iterator[Epoch],
    images: int,
) -> None:
    """Drive the epochs of `images` each: post reports, save checkpoints, all ranks after the same epochs."""
    rank, speaks = dist.get_rank(), share.replica == 0
    save_at = 0  # the first
    epoch_started = posted = time.monotonic()
    for epoch in epochs:
        now = time.monotonic()
        seconds, epoch_started = now - epoch_started, now
        last = epoch.number == job.train.epochs
        if speaks and (now - posted > REPORT_SECONDS or not save_at or last):
            posted = now
            job.status.post.remote(EpochReport(epoch.records, images / seconds))
        if epoch.number >= save_at or last:
            if speaks:
                for state in epoch.states():
                    checkpoints.save(state)
            # The slowest rank sets the pace, and its answer means that all have saved.
            slowest = _maximum(seconds)
            save_at = epoch.number + max(1, int(job.checkpoint_seconds / slowest))
            if rank == 0:
                checkpoints.prune(epoch.number)
            epoch_started = time.monotonic()


def _state(
    job: RankConfig, checkpoints: Checkpoints, epoch: int, component: str, images_ND: torch.Tensor
) -> TrainingState:
    if epoch:
        return checkpoints.load(epoch, component)
    return initial_state(component, images_ND, job.sizes, job.model, job.train.seed)


def _replica_group(plan: placement.Plan, rank: int) -> dist.ProcessGroup | None:
    """This rank's replicas. Every rank makes every group: torch.distributed asks for that."""
    mine = None
    for ranks in plan.replica_ranks():
        group = dist.new_group(ranks)
        mine = group if rank in ranks else mine
    return mine


def _agree(number: int) -> int:
    """Rank 0's number, on all ranks."""
    tensor = torch.tensor(number)
    dist.broadcast(tensor, src=0)
    return int(tensor)


def _maximum(number: float) -> float:
    """The largest of all ranks' numbers."""
    tensor = torch.tensor(number)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    return float(tensor)
