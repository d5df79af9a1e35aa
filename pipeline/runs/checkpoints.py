"""A run's checkpoints.

Each rank writes its own components; an epoch counts once all its files are there. A checkpoint belongs to
components, not to ranks, so a run goes on with another number of them. Ray Train's own checkpoint registry
is not used: it is one JSON file, rewritten in place and bound to the version of Ray, so a kill at the wrong
moment, or an upgrade, would lose the run.
"""

import os
from collections.abc import Sequence
from contextlib import suppress

from pipeline.common.errors import PipelineError, one_line
from pipeline.runs.run_folder import RunFolder
from vae import modelfile, tensorfile
from vae.stack import TrainingState

KEPT = 2  # epochs: one more than needed, should the newest prove damaged


class Checkpoints(RunFolder):
    """The checkpoints of one run, of these components."""

    def __init__(self, storage: str, run: str, components: Sequence[str]) -> None:
        super().__init__(storage, run)
        self.components = tuple(components)

    def save(self, state: TrainingState) -> None:
        """Write one component's state. The file appears whole or not at all.

        Raises:
            PipelineError: the storage is full or cannot be written; earlier checkpoints stay.
        """
        try:
            self.write(self.path(state.epoch, state.component), modelfile.encode_checkpoint(state))
        except OSError as error:
            raise PipelineError(
                f"{self.storage}/{self.run}: the checkpoint of epoch {state.epoch} cannot be written: "
                f"{_reason(error)}; make room or name other --storage, and run the command again: "
                f"it goes on from the last checkpoint"
            ) from error

    def load(self, epoch: int, component: str) -> TrainingState:
        """Read one component's state, on the host.

        Raises:
            OSError: there is no such file, or it cannot be read.
            ModelFileError: it is damaged, or no checkpoint of this version.
        """
        path = self.path(epoch, component)
        with self.files.open_input_stream(path) as stream:
            return modelfile.decode_checkpoint(stream.read(), path)

    def latest(self, most: int | None = None) -> int:
        """The last epoch, up to `most`, that all components can be loaded from; 0 if there is none.

        Raises:
            PipelineError: a checkpoint is there, and may not be read.
        """
        for epoch in reversed(self.epochs()):
            if (most is None or epoch <= most) and all(
                self._is_whole(epoch, component) for component in self.components
            ):
                return epoch
        return 0

    def prune(self, newest: int) -> None:
        """Delete epochs before the newest ones. Called by one rank, once `newest` is whole."""
        for epoch in [e for e in self.epochs() if e <= newest][:-KEPT]:
            # What cannot be deleted takes room, and is tried again after the next epoch.
            with suppress(OSError):
                self.files.delete_dir(self.folder(epoch))

    def _is_whole(self, epoch: int, component: str) -> bool:
        try:
            state = self.load(epoch, component)
            return (state.epoch, state.component) == (epoch, component)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, tensorfile.ModelFileError):
            return False
        except OSError as error:
            # Not damaged: to begin again would throw away what was trained.
            path = self.path(epoch, component)
            raise PipelineError(
                f"{path}: cannot be read: {_reason(error)}; mend that, or delete it to go on from the "
                "checkpoint before it"
            ) from None


def _reason(error: OSError) -> str:
    """The system's own words: pyarrow wraps them in a sentence with paths."""
    return os.strerror(error.errno) if error.errno else one_line(error)
