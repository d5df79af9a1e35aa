"""Plans: the trainings that are needed so that every setting is measured."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from pipeline.experiment.params import Params
from pipeline.runs import identity
from pipeline.trials import spec
from pipeline.trials.setting import Setting, short
from pipeline.trials.spec import Defaults
from vae.config import ModelConfig, TrainConfig

# Modules that decide, with all that they import, what a trial finds: its training and its measuring.
SOURCES = ("vae.fit", "pipeline.evaluation.reconstruction")


@dataclass(frozen=True)
class Fit:
    """One training, and the epochs after which it is measured: a trial each."""

    key: str
    model: ModelConfig
    train: TrainConfig  # to the last of the snapshots
    snapshots: tuple[int, ...]  # ascending


@dataclass(frozen=True)
class Trial:
    """A setting, and where what is found of it is kept."""

    setting: Setting
    params: Params
    fit: str  # the key of the training that it is a snapshot of

    @property
    def epochs(self) -> int:
        return self.params.train.epochs

    @property
    def label(self) -> str:
        return short(self.setting)


def plan(defaults: Defaults, settings: Iterable[Setting], data: bytes, where: str) -> list[Trial]:
    """A trial for each setting; `data` is a digest of images and source.

    Raises:
        PipelineError: a value has the wrong type or range.
    """
    trials = []
    for setting in settings:
        params = spec.parameters(defaults, setting, where)
        trials.append(Trial(setting, params, key(params, data)))
    return trials


def fits(trials: Sequence[Trial]) -> list[Fit]:
    """The trainings that these trials need. Trials that differ in epochs alone are snapshots of one."""
    snapshots: dict[str, set[int]] = {}
    for trial in trials:
        snapshots.setdefault(trial.fit, set()).add(trial.epochs)
    longest = {trial.fit: trial for trial in sorted(trials, key=lambda trial: trial.epochs)}
    return [
        Fit(
            key,
            longest[key].params.model,
            replace(longest[key].params.train, epochs=max(epochs)),
            tuple(sorted(epochs)),
        )
        for key, epochs in snapshots.items()
    ]


def key(params: Params, data: bytes) -> str:
    """A hash of all that shapes what a trial finds, 16 hexadecimal digits.

    The number of epochs is no part of it where that only says when to look.
    """
    digest = hashlib.blake2b(data, digest_size=8)
    digest.update(json.dumps(identity.result_params(params.model, params.train), sort_keys=True).encode())
    return digest.hexdigest()


def add_sources(digest: hashlib.blake2b) -> None:
    """Add the code that decides what a trial finds to a digest."""
    identity.add_sources(digest, *SOURCES)
