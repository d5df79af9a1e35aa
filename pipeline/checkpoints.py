"""A run's checkpoints, on a local disk or on storage that all nodes share.

    <storage>/<run>/epoch-000012/red.safetensors, green.safetensors, blue.safetensors

Each rank writes its own components; an epoch counts once all its files are there. A checkpoint belongs to
components, not to ranks, so a run goes on with another number of them. Ray Train's own checkpoint registry
is not used: it is one JSON file, rewritten in place and bound to the version of Ray, so a kill at the wrong
moment, or an upgrade, would lose the run.
"""

import os
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pyarrow import fs
from safetensors import SafetensorError

from pipeline.errors import PipelineError
from vae import modelfile
from vae.stack import State

KEPT = 2  # epochs: one more than needed, should the newest prove damaged
MARK = "storage-mark"


class Checkpoints:
    """The checkpoints of one run. Made on the driver and on every rank; cheap, and holds nothing open."""

    def __init__(self, storage: str, run: str, components: Sequence[str]) -> None:
        """`storage` is an absolute path or a URI that pyarrow knows, such as s3://bucket/folder."""
        try:
            self._files, root = fs.FileSystem.from_uri(storage)
        except (OSError, ValueError) as error:
            raise PipelineError(f"--storage {storage}: cannot be used: {error}") from None
        self.storage, self.run, self.components = storage, run, tuple(components)
        self._root = f"{root.rstrip('/')}/{run}"

    def save(self, state: State) -> None:
        """Write one component's state. The file appears whole or not at all.

        Raises:
            PipelineError: the storage is full or cannot be written; earlier checkpoints stay.
        """
        folder = self._folder(state.epoch)
        part = f"{folder}/.{state.component}.{uuid.uuid4().hex}.part"
        try:
            with tempfile.TemporaryDirectory() as scratch:
                local = Path(scratch) / "state"
                modelfile.save_checkpoint(local, state)
                self._files.create_dir(folder)
                fs.copy_files(str(local), part, fs.LocalFileSystem(), self._files)
            self._files.move(part, f"{folder}/{state.component}{modelfile.SUFFIX}")
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                self._files.delete_file(part)
            raise PipelineError(
                f"{self.storage}/{self.run}: the checkpoint of epoch {state.epoch} cannot be written: "
                f"{_reason(error)}; make room or name other --storage, and run the command again: "
                f"it goes on from the last checkpoint"
            ) from error

    def load(self, epoch: int, component: str) -> State:
        with tempfile.TemporaryDirectory() as scratch:
            local = Path(scratch) / f"{component}{modelfile.SUFFIX}"
            remote = f"{self._folder(epoch)}/{component}{modelfile.SUFFIX}"
            fs.copy_files(remote, str(local), self._files, fs.LocalFileSystem())
            return modelfile.load_checkpoint(local)

    def latest(self) -> int:
        """The last epoch that all components can be loaded from; 0 if there is none."""
        for epoch in sorted(self._epochs(), reverse=True):
            if all(self._is_whole(epoch, component) for component in self.components):
                return epoch
        return 0

    def prune(self, newest: int) -> None:
        """Delete epochs before the newest ones. Called by one rank, once `newest` is whole."""
        for epoch in sorted(e for e in self._epochs() if e <= newest)[:-KEPT]:
            self._files.delete_dir(self._folder(epoch))

    def mark(self) -> str:
        """Leave a mark that `check_shared` looks for on other nodes; return it."""
        mark = uuid.uuid4().hex
        try:
            self._files.create_dir(self._root)
            with self._files.open_output_stream(f"{self._root}/{MARK}") as stream:
                stream.write(mark.encode())
        except OSError as error:
            raise PipelineError(f"--storage {self.storage}: cannot be written: {error}") from None
        return mark

    def check_shared(self, mark: str, node: str) -> None:
        """Raise unless this node sees what the driver left, since then its checkpoints would be lost."""
        try:
            with self._files.open_input_stream(f"{self._root}/{MARK}") as stream:
                found = stream.read().decode()
        except OSError:
            found = None
        if found != mark:
            raise PipelineError(
                f"--storage {self.storage}: node {node} does not see what the driver writes there; "
                "name storage that every node shares, such as s3://bucket/folder or an NFS path"
            )

    def _epochs(self) -> list[int]:
        selector = fs.FileSelector(self._root, allow_not_found=True)
        names = [info.base_name for info in self._files.get_file_info(selector)]
        return [int(n.removeprefix("epoch-")) for n in names if n.startswith("epoch-")]

    def _is_whole(self, epoch: int, component: str) -> bool:
        try:
            return self.load(epoch, component).epoch == epoch
        except (OSError, modelfile.ModelFileError):
            return False

    def _folder(self, epoch: int) -> str:
        return f"{self._root}/epoch-{epoch:06}"


def _reason(error: Exception) -> str:
    """The system's own words: pyarrow wraps them in a sentence with paths."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
