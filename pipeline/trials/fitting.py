"""A fit is run: a whole stack is trained in one process, and measured after some of its epochs, a trial each.

Plain code around `vae.fit`; `tuner` runs it under Ray Tune.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
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
from vae.fit import Epoch
from vae.fit import fit as fit_stack
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
    """Images of a fit: those it trains on, and those it is measured on."""

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
    seconds: float  # of training, as in a `FitReport` of the same epoch


@dataclass(frozen=True)
class FitReport:
    """A fit after an epoch.

    Its seconds are those of the clock that training took from the first epoch to the end of this one, with
    each epoch's cost on validation images. Not counted are snapshots, checkpoints, waits, and epochs that
    were lost with a process and trained again. Of epochs that are told again only the sum is known: each has
    an even share.
    """

    epoch: int
    costs: dict[str, float]  # by split, nats an image, summed over components
    seconds: float
    snapshot: Snapshot | None = None


def repeated_reports(costs: Mapping[int, dict[str, float]], seconds: float) -> list[FitReport]:
    """Reports of epochs that were trained before. costs: by epoch and split; seconds: of all these epochs."""
    last = max(costs, default=0)
    return [FitReport(epoch, costs[epoch], seconds * epoch / last) for epoch in sorted(costs)]


@dataclass(frozen=True)
class _Start:
    """Where a fit goes on from."""

    epoch: int  # the last that is finished; 0: the beginning
    states: list[TrainingState]  # after it, one a component
    seconds: float  # of training, up to there


def train_and_measure(
    fit: Fit,
    data: TrialTensors,
    checkpoints: Checkpoints,
    checkpoint_seconds: float,
    device: str,
    session: str = "",
) -> Iterator[FitReport]:
    """Train from the last checkpoint, and report every epoch, also those before the checkpoint.

    A report is to be kept before the next is asked for: checkpoints are later than the snapshots before them.
    `session` names whoever keeps them: when a fit is tried again, it does not repeat snapshots to the same.

    Raises:
        CostNotFinite: training diverged.
        OutOfMemory: the memory does not suffice for these parameters.
        PipelineError: a checkpoint cannot be written.
    """
    about = checkpoints.about()
    kept = set(about.get("kept", ())) if session and about.get("session") == session else set()
    waiting = [epoch for epoch in fit.snapshots if epoch not in kept]
    # No later one: it would have trained past a snapshot that is to be taken.
    start = _start(fit, data, checkpoints, waiting[0])

    def save(epoch: Epoch, seconds: float) -> None:
        if waiting:
            reported = [snapshot for snapshot in fit.snapshots if snapshot not in waiting]
            _save(checkpoints, epoch, seconds, session=session, kept=reported)

    trained = _train(fit, data, start, device, checkpoint_seconds, save)
    for epoch, seconds in chain(_repeat(start), trained):
        snapshot = None
        if waiting and epoch.number == waiting[0]:
            snapshot = _snapshot(epoch, seconds, data, fit.train.seed, device)
            waiting.pop(0)
        yield FitReport(epoch.number, _costs(epoch.records), seconds, snapshot)


def _start(fit: Fit, data: TrialTensors, checkpoints: Checkpoints, most: int) -> _Start:
    """The last checkpoint of the epochs up to `most`, or the beginning."""
    epoch = checkpoints.latest(most)
    if epoch:
        states = [checkpoints.load(epoch, component) for component in data.components]
        return _Start(epoch, states, float(checkpoints.about().get("seconds", {}).get(str(epoch), 0)))
    states = [
        initial_state(component, data.train.images_CND[c], data.sizes, fit.model, fit.train.seed)
        for c, component in enumerate(data.components)
    ]
    return _Start(0, states, 0.0)


def _repeat(start: _Start) -> Iterator[tuple[Epoch, float]]:
    """The epochs before the start, each with the seconds of training up to its end (see `FitReport`).

    Of models there are those of the last epoch.
    """
    for number in range(1, start.epoch + 1):
        records = [record for state in start.states for record in state.history if record.epoch == number]
        yield Epoch(number, records, lambda: start.states), start.seconds * number / start.epoch


def _train(
    fit: Fit,
    data: TrialTensors,
    start: _Start,
    device: str,
    checkpoint_seconds: float,
    save: Callable[[Epoch, float], None],
) -> Iterator[tuple[Epoch, float]]:
    """The epochs after the start, each with the seconds of training up to its end, which `save` gets too."""
    held_out = data.validation
    epochs = fit_stack(
        data.train.images_CND,
        start.states,
        fit.train,
        labels_N=data.train.labels_N,
        validation_CND=held_out.images_CND if held_out else None,
        validation_labels_N=held_out.labels_N if held_out else None,
        device=device,
    )
    seconds = start.seconds

    def save_all(epoch: Epoch, took: float) -> float:
        save(epoch, seconds)
        return took

    first, last = start.epoch + 1, fit.train.epochs
    for epoch, took in train_with_checkpoints(
        epochs, data.components, first, last, checkpoint_seconds, save_all
    ):
        seconds += took
        yield epoch, seconds


def _save(checkpoints: Checkpoints, epoch: Epoch, seconds: float, **about: Any) -> None:
    # The seconds before the models: of a checkpoint whose seconds a kill has left out, training would go on
    # as if it had taken none until then.
    times = checkpoints.about().get("seconds", {}) | {str(epoch.number): seconds}
    checkpoints.describe(seconds=times, **about)
    for state in epoch.states():
        checkpoints.save(state)
    checkpoints.prune(epoch.number)


def _snapshot(epoch: Epoch, seconds: float, data: TrialTensors, seed: int, device: str) -> Snapshot:
    states = epoch.states()
    metrics: Metrics = {record.component: {} for record in epoch.records}
    for record in epoch.records:
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
    history = [record for state in states for record in state.history]
    return Snapshot(epoch.number, metrics, shown, history, seconds)


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
    whole = metrics.setdefault(paths.MERGED, {})
    whole.setdefault("train", _sums([metrics[component]["train"] for component in components]))
    whole[split] = merged
    return rebuilt


def _sums(components: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: sum(values[name] for values in components) for name in components[0]}
