"""What studies and searches stand on: the images, who may train on them, and what is kept meanwhile."""

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from pipeline import images, layout, locks, measures, params, runfolder, runs, storage_lock
from pipeline.errors import PipelineError
from pipeline.images import Images
from pipeline.params import Params
from pipeline.runfolder import RunFolder
from pipeline.storage_lock import Check
from pipeline.studies import fleet, planning, trial
from pipeline.studies.declared import Study
from pipeline.studies.fleet import Machines
from pipeline.studies.planning import Trial
from pipeline.studies.trial import Report
from pipeline.studies.worker import Shared

SESSION = "session-"  # begins the name of a driver's folder, in which it leaves its mark


@contextmanager
def hold(machines: Machines) -> Iterator[Check]:
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
            f"--storage {machines.storage}: trials there are being run by {holder}; wait for it, or end it, "
            "or name other --storage"
        )

    with (
        locks.hold(layout.trials() / "all", refuse),
        storage_lock.hold(machines.checkpoints(), "driver", refuse_storage) as check,
    ):
        yield check


class Ground:
    """The images that trials share."""

    def __init__(self, base: Params) -> None:
        """Read data/channels.

        Raises:
            PipelineError: a file is absent or damaged.
        """
        self.training, self.held_out = images.training(layout.COLOURS, base.data.validation)
        self.test = images.test(layout.COLOURS)
        self.originals = self.test.part(measures.evenly(len(self.test), trial.SHOWN)).pictures()
        digest = hashlib.blake2b()
        for name, split in self.splits().items():
            runs.add_images(digest, name, split, labels=split.labels is not None)
        planning.add_sources(digest)
        self.digest = digest.digest()
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
        where = f"{layout.STUDIES_YAML}: studies.{study.name}"
        trials = planning.plan(params.load(), study.settings, self.digest, where)
        for each in trials:
            self.check(each.params, where)
        return trials

    def check(self, wanted: Params, where: str) -> None:
        """Raise unless these images are enough for these parameters."""
        if wanted.model.conditional and self.training.labels is None:
            raise PipelineError(f"{where}: model.conditional is true, but the images have no labels")
        if wanted.train.batch_size > len(self.training):
            raise PipelineError(
                f"{where}: train.batch_size is {wanted.train.batch_size}, more than the "
                f"{len(self.training)} training images"
            )

    @contextmanager
    def shared(self, channels: set[str], machines: Machines, device: str) -> Iterator[Shared]:
        """All of it in Ray's object store, and a mark in the storage that trials on other nodes look for.

        Raises:
            PipelineError: the storage cannot be written.
        """
        session = f"{SESSION}{uuid.uuid4().hex}"
        for name in runfolder.names(machines.checkpoints()):
            if name.startswith(SESSION):  # of a driver that was killed: this one holds the storage
                _delete(RunFolder(machines.checkpoints(), name))
        folder = RunFolder(machines.checkpoints(), session)
        try:
            yield self._shared(session, folder.mark(), channels, machines, device)
        finally:
            _delete(folder)

    def _shared(self, session: str, mark: str, channels: set[str], machines: Machines, device: str) -> Shared:
        labelled = self.training.labels is not None
        named = {"train" if name == "training" else name: split for name, split in self.splits().items()}
        return Shared(
            splits={name: fleet.hand_over(split, channels) for name, split in named.items()},
            classes=images.classes(self.training) if labelled else 0,
            storage=machines.checkpoints(),
            session=session,
            mark=mark,
            checkpoint_seconds=machines.checkpoint_seconds,
            threads=machines.threads,
            device=device,
        )


def shown(report: Report) -> str:
    """Costs, nats an image of all channels together."""
    costs = f"{report.costs['train']:.1f}"
    return costs + (f" ({report.costs['validation']:.1f})" if "validation" in report.costs else "")


def forget(key: str, machines: Machines) -> None:
    """Delete a finished fit's checkpoints."""
    _delete(RunFolder(machines.checkpoints(), key))


def _delete(folder: RunFolder) -> None:
    # What cannot be deleted takes room, and harms nobody.
    with suppress(OSError):
        folder.delete()
