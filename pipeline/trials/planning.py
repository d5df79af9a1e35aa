"""Trials, and the fits that they need.

A *setting* is some parameters with their values. A *trial* is a setting that is trained and measured once. A
*fit* is the training that does it, in one process; Ray Tune calls that a trial. Of trials that differ in
epochs alone there is one fit, which is measured after each of those epochs: a *snapshot* each.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.experiment.params import Params
from pipeline.runs import identity
from pipeline.trials import studies_yaml
from pipeline.trials.setting import Setting, short
from pipeline.trials.studies_yaml import Defaults
from vae.config import ModelConfig, TrainConfig

# Modules that decide, with all that they import, what a trial finds: its training and its measuring.
SOURCES = ("vae.fit", "pipeline.evaluation.reconstruction")


@dataclass(frozen=True)
class Fit:
    """A training, and the epochs after which it is measured: a trial each."""

    key: str
    model: ModelConfig
    train: TrainConfig  # to the last of the snapshots
    snapshots: tuple[int, ...]  # ascending


@dataclass(frozen=True)
class Trial:
    """A setting, and where what is found of it is kept."""

    setting: Setting
    params: Params
    fit_key: str  # of the fit that it is a snapshot of

    @property
    def epochs(self) -> int:
        return self.params.train.epochs

    @property
    def label(self) -> str:
        return short(self.setting)


def trials(defaults: Defaults, settings: Iterable[Setting], data: bytes, where: str) -> list[Trial]:
    """A trial for each setting; `data` is a digest of images and source.

    Raises:
        PipelineError: a value has the wrong type or range.
    """
    found = []
    for setting in settings:
        params = studies_yaml.parameters(defaults, setting, where)
        found.append(Trial(setting, params, fit_key(params, data)))
    return found


def fits(trials: Sequence[Trial]) -> list[Fit]:
    """The fits that these trials need. Trials that differ in epochs alone are snapshots of one."""
    snapshots: dict[str, set[int]] = {}
    for trial in trials:
        snapshots.setdefault(trial.fit_key, set()).add(trial.epochs)
    longest = {trial.fit_key: trial for trial in sorted(trials, key=lambda trial: trial.epochs)}
    return [
        Fit(
            key,
            longest[key].params.model,
            replace(longest[key].params.train, epochs=max(epochs)),
            tuple(sorted(epochs)),
        )
        for key, epochs in snapshots.items()
    ]


def fit_key(params: Params, data: bytes) -> str:
    """Key of a setting's fit: a hash of all that shapes what a trial finds, 16 hexadecimal digits.

    The number of epochs is no part of it where that only says when to look.
    """
    digest = hashlib.blake2b(data, digest_size=8)
    digest.update(json.dumps(identity.result_params(params.model, params.train), sort_keys=True).encode())
    return digest.hexdigest()


def add_sources(digest: hashlib.blake2b) -> None:
    """Add the code that decides what a trial finds to a digest."""
    identity.add_sources(digest, *SOURCES)
