"""A trial: a whole stack trained in one process, and measured after some of its epochs.

Plain code around `vae.fit`; `tuner` runs it under Ray Tune.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.common import files, paths
from pipeline.evaluation import reconstruction
from pipeline.evaluation.metrics import evenly_spaced
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.training import train_with_checkpoints
from pipeline.trials.planning import Fit
from vae.config import Sizes
from vae.fit import Epoch, fit
from vae.metrics import EpochMetrics
from vae.stack import TrainingState, assemble, initial_state

SHOWN = 12  # test images whose reconstructions are kept

# By component, split and measure.
Metrics = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class SplitTensors:
    """One split, as models see it."""

    images_CND: Tensor  # uint8
    side: tuple[int, int]  # height and width
    labels_N: Tensor | None  # int64, where the model is told them


@dataclass(frozen=True)
class TrialTensors:
    """Images of a trial: those it trains on, and those it is measured on."""

    components: tuple[str, ...]
    sizes: Sizes
    train: SplitTensors
    validation: SplitTensors | None
    test: SplitTensors


@dataclass(frozen=True)
class Snapshot:
    """A fit after one of its epochs."""

    epoch: int
    metrics: Metrics
    shown: np.ndarray  # (SHOWN, 3, H, W) uint8: reconstructions of evenly spaced test images
    history: list[EpochMetrics]
    seconds: float  # of training, up to here


@dataclass(frozen=True)
class TrialReport:
    """A fit after an epoch."""

    epoch: int
    costs: dict[str, float]  # by split, summed over components
    seconds: float
    snapshot: Snapshot | None = None


def train_and_measure(
    plan: Fit,
    data: TrialTensors,
    checkpoints: Checkpoints,
    checkpoint_seconds: float,
    device: str,
    session: str = "",
) -> Iterator[TrialReport]:
    """Train from the last checkpoint, and report every epoch, also those before the checkpoint.

    A report is to be kept before the next is asked for: checkpoints are later than the snapshots before them.
    `session` names whoever keeps them: when a trial is tried again, it does not repeat snapshots to the same.

    Raises:
        CostNotFinite: training diverged.
        OutOfMemory: the memory does not suffice for these parameters.
        PipelineError: a checkpoint cannot be written.
    """
    about = checkpoints.about()
    kept = set(about.get("kept", ())) if session and about.get("session") == session else set()
    waiting = [epoch for epoch in plan.snapshots if epoch not in kept]
    done = checkpoints.latest(waiting[0])
    if done:
        states = [checkpoints.load(done, component) for component in data.components]
        seconds = float(about.get("seconds", {}).get(str(done), 0))
    else:
        states = [
            initial_state(component, data.train.images_CND[c], data.sizes, plan.model, plan.train.seed)
            for c, component in enumerate(data.components)
        ]
        seconds = 0.0
    for epoch in range(1, done + (done != waiting[0])):
        records = [record for state in states for record in state.history if record.epoch == epoch]
        yield TrialReport(epoch, _costs(records), seconds * epoch / done)
    if done == waiting[0]:
        waiting.pop(0)
        yield _report(done, states, seconds, data, plan.train.seed, device)

    def save(epoch: Epoch, took: float) -> float:
        if waiting:
            kept = [snapshot for snapshot in plan.snapshots if snapshot not in waiting]
            _save(checkpoints, epoch, seconds, session=session, kept=kept)
        return took

    epochs = _epochs(plan, data, states, device)
    first, last = done + 1, plan.train.epochs
    for trained, took in train_with_checkpoints(
        epochs, data.components, first, last, checkpoint_seconds, save
    ):
        seconds += took
        if waiting and trained.number == waiting[0]:
            waiting.pop(0)
            yield _report(trained.number, trained.states(), seconds, data, plan.train.seed, device)
        else:
            yield TrialReport(trained.number, _costs(trained.records), seconds)


def _epochs(plan: Fit, data: TrialTensors, states: Sequence[TrainingState], device: str) -> Iterator[Epoch]:
    held_out = data.validation
    return fit(
        data.train.images_CND,
        states,
        plan.train,
        labels_N=data.train.labels_N,
        validation_CND=held_out.images_CND if held_out else None,
        validation_labels_N=held_out.labels_N if held_out else None,
        device=device,
    )


def _save(checkpoints: Checkpoints, epoch: Epoch, seconds: float, **about: Any) -> None:
    for state in epoch.states():
        checkpoints.save(state)
    times = checkpoints.about().get("seconds", {}) | {str(epoch.number): seconds}
    checkpoints.describe(seconds=times, **about)
    checkpoints.prune(epoch.number)


def _report(
    epoch: int, states: Sequence[TrainingState], seconds: float, data: TrialTensors, seed: int, device: str
) -> TrialReport:
    history = [record for state in states for record in state.history]
    last = [record for record in history if record.epoch == epoch]
    metrics: Metrics = {record.component: {} for record in last}
    for record in last:
        if record.split == "train":
            metrics[record.component]["train"] = {
                "cost": record.cost,
                "reconstruction": record.reconstruction,
                "kl": record.kl,
            }
    if data.validation:
        _measure(metrics, "validation", states, data.validation, seed, device)
    pictures = _measure(metrics, "test", states, data.test, seed, device)
    metrics = {
        component: {split: files.rounded(values) for split, values in splits.items()}
        for component, splits in metrics.items()
    }
    shown = pictures[evenly_spaced(len(pictures), SHOWN)]
    snapshot = Snapshot(epoch, metrics, shown, history, seconds)
    return TrialReport(epoch, _costs(last), seconds, snapshot)


def _costs(records: Sequence[EpochMetrics]) -> dict[str, float]:
    costs: dict[str, float] = {}
    for record in records:
        costs[record.split] = costs.get(record.split, 0.0) + record.cost
    return costs


def _measure(
    metrics: Metrics,
    split: str,
    states: Sequence[TrainingState],
    tensors: SplitTensors,
    seed: int,
    device: str,
) -> np.ndarray:
    """Add the metrics of each component on a split, and of merged images (N, 3, H, W) uint8, returned."""
    components = [state.component for state in states]
    model = assemble(states, torch.device(device)).eval()
    of_components, merged, rebuilt = reconstruction.measure_stack(
        model, components, tensors.images_CND, tensors.side, tensors.labels_N, seed
    )
    for component, values in of_components.items():
        metrics[component][split] = values
    whole = metrics.setdefault(paths.JOINT, {})
    whole.setdefault("train", _sums([metrics[component]["train"] for component in components]))
    whole[split] = merged
    return rebuilt


def _sums(components: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: sum(values[name] for values in components) for name in components[0]}
