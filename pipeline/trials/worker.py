"""The work of one fit, in one of Ray's processes. Nothing here runs on the driver."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from ray import tune

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.distributed.split_refs import SplitRefs
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_folder import RunFolder
from pipeline.runs.training import OutOfMemory
from pipeline.trials import fitting
from pipeline.trials.fitting import FitReport, SplitTensors, TrialTensors
from pipeline.trials.planning import Fit
from vae.config import Sizes
from vae.fit import CostNotFinite
from vae.tensorfile import ModelFileError

# Errors that every other fit would meet too: the driver is told, and ends them all.
FATAL = (PipelineError, ModelFileError)


@dataclass(frozen=True)
class Shared:
    """Settings and images that all fits share; pixels travel as references."""

    splits: Mapping[str, SplitRefs]
    class_names: tuple[str, ...]  # of the labels; empty: there are none
    storage: str
    session: str  # names this run of the driver, and the folder of the storage in which it left a mark
    mark: str  # what is in it
    checkpoint_seconds: float
    threads: int
    device: str


def run_fit(fit: Fit, shared: Shared, known_reports: Sequence[FitReport] | None = None) -> None:
    """Train a fit and measure its trials, and report every epoch to Tune, of which this is a trial.

    `known_reports` are those of a fit that has ended before: they are repeated, and nothing is trained.
    """
    if known_reports is not None:
        for report in known_reports or [FitReport(0, {}, 0.0)]:
            _tell(report, shared, again=True)
        return
    torch.set_num_threads(shared.threads)
    try:
        RunFolder(shared.storage, shared.session).check_shared(shared.mark, os.uname().nodename)
        data = _data(fit, shared)
        checkpoints = Checkpoints(shared.storage, fit.key, data.components)
        seconds, device, session = shared.checkpoint_seconds, shared.device, shared.session
        for report in fitting.train_and_measure(fit, data, checkpoints, seconds, device, session):
            _tell(report, shared)
    except CostNotFinite as error:  # of this fit alone, and again at every try
        tune.report({"diverged": str(error), "epoch": 0, "validation": float("inf")})
    except OutOfMemory as error:  # of this fit on this machine: on another it may be tried again
        tune.report({"out_of_memory": str(error), "epoch": 0, "validation": float("inf")})
    except FATAL as error:
        tune.report({"hopeless": str(error), "epoch": 0, "validation": float("inf")})


def _tell(report: FitReport, shared: Shared, *, again: bool = False) -> None:
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


def _data(fit: Fit, shared: Shared) -> TrialTensors:
    components = paths.components(fit.model.channels)
    conditional = fit.model.conditional

    def tensors(split: SplitRefs) -> SplitTensors:
        labels_N = split.condition_labels() if conditional else None
        return SplitTensors(split.stack(components), split.side, labels_N)

    splits = {name: tensors(split) for name, split in shared.splits.items()}
    image = (len(paths.colours(components[0])), *splits["train"].side)
    return TrialTensors(
        components=components,
        sizes=Sizes(image, shared.class_names if conditional else ()),
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits["test"],
    )
