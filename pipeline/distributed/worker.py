"""The work of one rank. This module runs in Ray's worker processes, never on the driver."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from torch import distributed as dist

from pipeline.common.errors import PipelineError
from pipeline.distributed import placement
from pipeline.distributed.split_refs import SplitRefs
from pipeline.distributed.status import EpochReport
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.training import train_with_checkpoints
from vae.config import ModelConfig, Sizes, TrainConfig
from vae.fit import CostNotFinite, Epoch, fit
from vae.stack import TrainingState, initial_state
from vae.step import Replica
from vae.tensorfile import ModelFileError

REPORT_SECONDS = 0.2  # between two reports of a component: no display is faster

# Errors that would come again at every try: the driver is told, and nothing is retried.
NOT_RETRIED = (CostNotFinite, PipelineError, ModelFileError)


@dataclass(frozen=True)
class RankConfig:
    """Settings of a training, the same for every rank; small, since pixels travel as references."""

    run: str
    storage: str
    mark: str  # what the driver left in the storage
    components: tuple[str, ...]
    sizes: Sizes
    model: ModelConfig
    train: TrainConfig
    splits: dict[str, SplitRefs]  # train, and validation if there is one
    checkpoint_seconds: float  # between two checkpoints, or one epoch where that is longer
    status: Any  # StatusActor's handle


def train_rank(loop_config: dict[str, RankConfig]) -> None:
    """Train this rank's components from the last whole checkpoint to the last epoch."""
    config = loop_config["config"]
    try:
        _train(config)
    except NOT_RETRIED as error:
        ray.get(config.status.failed.remote(str(error)))
        raise


def _train(config: RankConfig) -> None:
    context = ray.train.get_context()
    rank, device = context.get_world_rank(), ray.train.torch.get_device()
    # One thread a rank: fastest with a rank a component, and the count shapes the rounding.
    torch.set_num_threads(1)
    plan = placement.plan(config.components, context.get_world_size())
    if rank >= len(plan.assignments):
        raise ValueError(f"rank {rank} has no assignment in {plan}: the driver asks for as many as have one")
    assignment = plan.assignments[rank]
    replica = Replica(assignment.replica, assignment.replicas, _replica_group(plan, rank))

    checkpoints = Checkpoints(config.storage, config.run, config.components)
    checkpoints.check_shared(config.mark, os.uname().nodename)
    done = _agree(checkpoints.latest() if rank == 0 else 0)
    if rank == 0:
        config.status.started.remote(done + 1, str(plan), len(plan.assignments))
    training, held_out = config.splits["train"], config.splits.get("validation")
    images = training.stack(assignment.components)
    states = [
        _state(config, checkpoints, done, component, images[c])
        for c, component in enumerate(assignment.components)
    ]
    epochs = fit(
        images,
        states,
        config.train,
        labels_N=training.condition_labels(),
        validation_CND=held_out.stack(assignment.components) if held_out else None,
        validation_labels_N=held_out.condition_labels() if held_out else None,
        device=device,
        replica=replica,
    )
    _run_epochs(config, checkpoints, assignment, epochs, done + 1, images.shape[1])


def _run_epochs(
    config: RankConfig,
    checkpoints: Checkpoints,
    assignment: placement.Assignment,
    epochs: Iterator[Epoch],
    first: int,
    images: int,
) -> None:
    """Drive the epochs, from the `first`, of so many images: report them, and save checkpoints.

    Of replicas, which hold the same models, one speaks.
    """
    rank, speaks = dist.get_rank(), assignment.replica == 0

    def save(epoch: Epoch, seconds: float) -> float:
        if speaks:
            for state in epoch.states():
                checkpoints.save(state)
        # The slowest rank sets the pace, and its answer means that all have saved.
        slowest = _maximum(seconds)
        if rank == 0:
            checkpoints.prune(epoch.number)
        return slowest

    last, reported = config.train.epochs, time.monotonic()
    for epoch, seconds in train_with_checkpoints(
        epochs, assignment.components, first, last, config.checkpoint_seconds, save
    ):
        now = time.monotonic()
        if speaks and (now - reported > REPORT_SECONDS or epoch.number in (first, last)):
            reported = now
            config.status.post.remote(EpochReport(epoch.records, images / seconds))


def _state(
    config: RankConfig, checkpoints: Checkpoints, epoch: int, component: str, images_ND: torch.Tensor
) -> TrainingState:
    if epoch:
        return checkpoints.load(epoch, component)
    return initial_state(component, images_ND, config.sizes, config.model, config.train.seed)


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
