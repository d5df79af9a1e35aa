"""What a trial does in one of Ray's processes. Nothing here runs on the driver."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import ray
import torch
from ray import tune

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_folder import RunFolder
from pipeline.runs.training import OutOfMemory
from pipeline.trials import trial
from pipeline.trials.planning import Fit
from pipeline.trials.trial import SplitTensors, TrialReport, TrialTensors
from vae.config import Sizes
from vae.fit import CostNotFinite
from vae.tensorfile import ModelFileError

# What every other trial would meet too: the driver is told, and ends them all.
FATAL = (PipelineError, ModelFileError)


@dataclass(frozen=True)
class SplitRefs:
    """One split in Ray's object store, as stacks of separate models and of a joint one see it."""

    stacks: Mapping[str, ray.ObjectRef]  # by model.channels: (C, N, D) uint8
    side: tuple[int, int]
    labels: np.ndarray | None  # (N,) int64


@dataclass(frozen=True)
class Shared:
    """What every trial needs besides its fit. Pixels travel as references: a node maps them once."""

    splits: Mapping[str, SplitRefs]
    classes: int  # of the labels; 0: there are none
    storage: str
    session: str  # names this run of the driver, and the folder of the storage in which it left a mark
    mark: str  # what is in it
    checkpoint_seconds: float
    threads: int
    device: str


def run_trial(job: Fit, shared: Shared, told: Sequence[TrialReport] | None = None) -> None:
    """What a trial does: reports every epoch to Tune.

    `told` are the reports of a trial that has ended before: they are repeated, and nothing is trained.
    """
    if told is not None:
        for report in told or [TrialReport(0, {}, 0.0)]:
            _tell(report, shared, again=True)
        return
    torch.set_num_threads(shared.threads)
    try:
        RunFolder(shared.storage, shared.session).check_shared(shared.mark, os.uname().nodename)
        data = _data(job, shared)
        checkpoints = Checkpoints(shared.storage, job.key, data.components)
        seconds, device, session = shared.checkpoint_seconds, shared.device, shared.session
        for report in trial.train_and_measure(job, data, checkpoints, seconds, device, session):
            _tell(report, shared)
    except (CostNotFinite, OutOfMemory) as error:  # of this trial alone, and again at every try
        tune.report({"diverged": str(error), "epoch": 0, "validation": float("inf")})
    except FATAL as error:
        tune.report({"hopeless": str(error), "epoch": 0, "validation": float("inf")})


def _tell(report: TrialReport, shared: Shared, *, again: bool = False) -> None:
    # For the scheduler and the search; `report` is for the driver.
    validation = report.costs.get("validation", float("inf"))
    tune.report(
        {
            "epoch": report.epoch,
            "validation": validation,
            "report": report,
            "machine": _machine(shared),
            "again": again,
        }
    )


def _machine(shared: Shared) -> str:
    if shared.device == "cuda":
        return torch.cuda.get_device_name()
    return f"{shared.threads} CPU thread{'s' * (shared.threads > 1)}"


def _data(job: Fit, shared: Shared) -> TrialTensors:
    components = paths.components(job.model.channels)
    parts = {name: _part(handed, job) for name, handed in shared.splits.items()}
    return TrialTensors(
        components=components,
        sizes=Sizes(
            (len(paths.colours(components[0])), *parts["train"].side),
            shared.classes if job.model.conditional else 0,
        ),
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts["test"],
    )


def _part(handed: SplitRefs, job: Fit) -> SplitTensors:
    stack: np.ndarray = ray.get(handed.stacks[job.model.channels])
    labels = handed.labels if job.model.conditional else None
    with warnings.catch_warnings():
        # Ray's arrays are read-only, and nothing here writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return SplitTensors(
            torch.from_numpy(stack), handed.side, None if labels is None else torch.tensor(labels)
        )
