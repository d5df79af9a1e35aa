"""Results of trials on disk: a file each, kept apart from any study, so that no trial runs twice.

.vaepipe/trials/<key>-000050.safetensors     one snapshot of one fit
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from pipeline.common import files, paths
from pipeline.trials.fitting import FitReport, Snapshot, repeated_reports
from pipeline.trials.planning import Trial
from vae import tensorfile
from vae.metrics import EpochMetrics
from vae.tensorfile import ModelFileError


@dataclass(frozen=True)
class TrialResult:
    """A snapshot, and what it was computed on."""

    snapshot: Snapshot
    machine: str  # such as "1 CPU thread"

    def reports(self) -> list[FitReport]:
        """Reports of the trial, one an epoch."""
        costs: dict[int, dict[str, float]] = {}
        for record in self.snapshot.history:
            of_epoch = costs.setdefault(record.epoch, {})
            of_epoch[record.split] = of_epoch.get(record.split, 0.0) + record.cost
        return repeated_reports(costs, self.snapshot.seconds)


def path(fit_key: str, epochs: int) -> Path:
    """The file of a fit's result after so many epochs."""
    return paths.trials() / f"{fit_key}-{epochs:06}.safetensors"


def of_epochs(epochs: int) -> list[Path]:
    """The files of all results after so many epochs."""
    end = f"-{epochs:06}.safetensors"
    return [path for path in files.entries(paths.trials()) if path.name.endswith(end)]


def fit_key(path: Path) -> str:
    """Key of the fit that a file is a result of."""
    return path.name.partition("-")[0]


def save(fit_key: str, result: TrialResult) -> None:
    """Keep a result.

    Raises:
        PipelineError: it cannot be written.
    """
    snapshot = result.snapshot
    about = {
        "epoch": snapshot.epoch,
        "found": snapshot.metrics,
        "history": [asdict(record) for record in snapshot.history],
        "seconds": snapshot.seconds,
        "machine": result.machine,
    }
    with files.atomic_file(path(fit_key, snapshot.epoch)) as part:
        tensorfile.write(part, about, {"shown": torch.tensor(snapshot.shown)})


def load(fit_key: str, epochs: int) -> TrialResult | None:
    """A result; None if there is none. A damaged file counts as none: the trial runs again.

    Raises:
        PipelineError: it is there, and cannot be read: that is no damage, and it is not trained again.
    """
    place = path(fit_key, epochs)
    try:
        about, tensors = tensorfile.decode(place.read_bytes(), place)
        snapshot = Snapshot(
            epoch=about["epoch"],
            metrics=about["found"],
            shown=tensors["shown"].numpy(),
            history=[EpochMetrics(**record) for record in about["history"]],
            seconds=about["seconds"],
        )
        return TrialResult(snapshot, about["machine"])
    except (FileNotFoundError, ModelFileError, KeyError, TypeError):
        return None
    except OSError as error:
        raise files.unreadable(place, error) from None


def find(trial: Trial) -> TrialResult | None:
    """A trial's result; None if it has not finished."""
    return load(trial.fit_key, trial.epochs)
