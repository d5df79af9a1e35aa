"""Images, locks and shared state of a run of trials."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import numpy as np

from pipeline.common import locks, paths
from pipeline.common.errors import PipelineError
from pipeline.data import images
from pipeline.data.images import Images
from pipeline.distributed.split_refs import put_images
from pipeline.evaluation import metrics
from pipeline.experiment.params import Params
from pipeline.runs import identity, run_folder, storage_lock
from pipeline.runs.run_folder import RunFolder
from pipeline.runs.storage_lock import Check
from pipeline.trials import fitting, planning
from pipeline.trials.fitting import FitReport
from pipeline.trials.planning import Trial
from pipeline.trials.studies_yaml import Defaults, Study
from pipeline.trials.tuner import TrialCompute
from pipeline.trials.worker import Shared

SESSION = "session-"  # begins the name of a driver's folder, in which it leaves its mark


@contextmanager
def locked(compute: TrialCompute) -> Iterator[Check]:
    """Be the only one that runs trials in this workspace, and the only one that keeps them in that storage.

    Yields a function that raises once the storage is lost to another (see `storage_lock`).

    Raises:
        PipelineError: another process does; the message names it.
    """

    def refuse(holder: str) -> NoReturn:
        raise PipelineError(
            f"trials of this workspace are being run by {holder}; wait for it, or end it, and run this again"
        )

    def refuse_storage(holder: str) -> NoReturn:
        raise PipelineError(
            f"--storage {compute.storage}: trials there are being run by {holder}; wait for it, or end it, "
            "or name other --storage"
        )

    with (
        locks.locked(paths.trials() / "all", refuse),
        storage_lock.locked(compute.checkpoints(), "driver", refuse_storage) as check,
    ):
        yield check


class TrialData:
    """The images that trials share, and the defaults that their settings are laid over."""

    def __init__(self, defaults: Defaults) -> None:
        """Read data/channels.

        Raises:
            PipelineError: a file is absent or damaged.
        """
        self.defaults = defaults
        self.training, self.held_out = images.load_training(paths.COLOURS, defaults.params.data.validation)
        self.test = images.load_test(paths.COLOURS)
        self.originals = self.test.part(metrics.evenly_spaced(len(self.test), fitting.SHOWN)).pictures()
        digest = hashlib.blake2b()
        for name, split in self.splits().items():
            identity.add_images(digest, name, split, labels=split.labels is not None)
        planning.add_sources(digest)
        self.digest = digest.digest()
        self.class_names, self.labels, self.untold = _labels(self.splits())
        self.about = ", ".join(f"{len(split):,} {name}" for name, split in self.splits().items()) + " images"

    def splits(self) -> dict[str, Images]:
        held_out = {"validation": self.held_out} if len(self.held_out) else {}
        return {"training": self.training, **held_out, "test": self.test}

    def plan(self, study: Study) -> list[Trial]:
        """The study's trials.

        Raises:
            PipelineError: a batch would have more images than there are, or a model is told labels that
                there are not.
        """
        where = f"{paths.STUDIES_YAML}: studies.{study.name}"
        trials = planning.trials(self.defaults, study.settings, self.digest, where)
        for planned in trials:
            self.check(planned.params, where)
        return trials

    def check(self, wanted: Params, where: str) -> None:
        """Raise unless these images are enough for these parameters."""
        if wanted.model.conditional and self.untold:
            raise PipelineError(f"{where}: {self.untold}")
        if wanted.train.batch_size > len(self.training):
            raise PipelineError(
                f"{where}: train.batch_size is {wanted.train.batch_size}, more than the "
                f"{len(self.training)} training images"
            )

    @contextmanager
    def shared(self, channels: set[str], compute: TrialCompute, device: str) -> Iterator[Shared]:
        """Put all of it into Ray's object store, and into the storage a mark that trials look for.

        Raises:
            PipelineError: the storage cannot be written.
        """
        session = f"{SESSION}{uuid.uuid4().hex}"
        for name in run_folder.names(compute.checkpoints()):
            if name.startswith(SESSION):  # of a driver that was killed: this one holds the storage
                _delete(RunFolder(compute.checkpoints(), name))
        folder = RunFolder(compute.checkpoints(), session)
        try:
            yield self._shared(session, folder.mark(), channels, compute, device)
        finally:
            _delete(folder)

    def _shared(
        self, session: str, mark: str, channels: set[str], compute: TrialCompute, device: str
    ) -> Shared:
        groups = [paths.components(kind) for kind in sorted(channels)]
        return Shared(
            splits={
                "train" if name == "training" else name: put_images(split, groups, self.labels.get(name))
                for name, split in self.splits().items()
            },
            class_names=self.class_names,
            storage=compute.checkpoints(),
            session=session,
            mark=mark,
            checkpoint_seconds=compute.checkpoint_seconds,
            threads=compute.threads,
            device=device,
        )


def _labels(splits: dict[str, Images]) -> tuple[tuple[str, ...], dict[str, np.ndarray], str]:
    """What conditional models are told: names of classes, places in them by split; or why it cannot be."""
    try:
        classes = images.known_classes(splits["training"])
        return classes.names, {name: classes.places(split, name) for name, split in splits.items()}, ""
    except PipelineError as error:
        return (), {}, str(error).removeprefix(f"{paths.PARAMS}: ")


def costs_text(report: FitReport) -> str:
    """Costs, nats an image of all channels together."""
    costs = f"{report.costs['train']:.1f}"
    return costs + (f" ({report.costs['validation']:.1f})" if "validation" in report.costs else "")


def forget(key: str, compute: TrialCompute) -> None:
    """Delete a finished fit's checkpoints."""
    _delete(RunFolder(compute.checkpoints(), key))


def _delete(folder: RunFolder) -> None:
    # What cannot be deleted takes room, and harms nobody.
    with suppress(OSError):
        folder.delete()
