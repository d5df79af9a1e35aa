"""The folder of a run, on a local disk or on storage that all nodes share.

<storage>/<run>/about.json                       what the run is, and which models came from it
<storage>/<run>/epoch-000012/red.safetensors     one checkpoint a component (see `checkpoints`)
"""

import json
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pyarrow import fs

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError, one_line, reason

ABOUT = "about.json"
MARK = "storage-mark"
TRIALS = "trials"  # a folder beside the runs, with the checkpoints of studies' trials
SUFFIX = ".safetensors"
EPOCH = re.compile(r"epoch-(\d{6,9})")
PART = re.compile(r"\..+\.part")
# What may lie in a run's folder, by its path from there: all that is written to it.
OURS = re.compile(
    rf"about\.json|timing\.json|{MARK}(-\w+)?|epoch-\d{{6,9}}(/[^/]+{re.escape(SUFFIX)})?|(.*/)?\.[^/]+\.part"
)


class RunFolder:
    """Cheap to make, on the driver and on every rank; holds nothing open."""

    def __init__(self, storage: str, run: str) -> None:
        """`storage` is an absolute path or a URI that pyarrow knows, such as s3://bucket/folder."""
        self.files, root = open_storage(storage)
        self.storage, self.run = storage, run
        self.root = f"{root}/{run}"

    def path(self, epoch: int, component: str) -> str:
        """The file of a component's checkpoint, in its file system (`files`)."""
        return f"{self.folder(epoch)}/{component}{SUFFIX}"

    def folder(self, epoch: int) -> str:
        """The folder of an epoch's checkpoints, in its file system."""
        return f"{self.root}/epoch-{epoch:06}"

    def epochs(self) -> list[int]:
        """Epochs that have a folder, whole or not."""
        found = (EPOCH.fullmatch(info.base_name) for info in self._list(self.root) if _is_folder(info))
        return sorted(int(match[1]) for match in found if match)

    def complete(self, components: Sequence[str]) -> int:
        """The last epoch that has a file of each component, unread; 0 if there is none."""
        for epoch in reversed(self.epochs()):
            if {c + SUFFIX for c in components} <= {
                info.base_name for info in self._list(self.folder(epoch)) if not _is_folder(info)
            }:
                return epoch
        return 0

    def size(self) -> int:
        """Bytes of all that is in it."""
        return sum(info.size or 0 for info in self._list(self.root, recursive=True))

    def about(self) -> dict[str, Any]:
        """Description that `describe` wrote; empty if there is none."""
        try:
            with self.files.open_input_stream(f"{self.root}/{ABOUT}") as stream:
                about = files.parse_json(stream.read())
        except (FileNotFoundError, ValueError):
            return {}
        except OSError as error:
            if _is_folder(self.files.get_file_info(f"{self.root}/{ABOUT}")):
                return {}
            raise _unreadable(self.storage, error, f"{self.root}/{ABOUT}") from None
        return about if isinstance(about, dict) else {}

    def describe(self, **about: Any) -> None:
        """Set entries of the description."""
        self.write_json(ABOUT, self.about() | about)

    def write_json(self, name: str, value: Any) -> None:
        """Write a file beside the checkpoints; it appears whole or not at all.

        Raises:
            PipelineError: the storage cannot be written.
        """
        try:
            self.write(f"{self.root}/{name}", json.dumps(value, indent=1, allow_nan=False).encode())
        except OSError as error:
            raise self._unwritable(error) from None

    def write(self, path: str, data: bytes) -> None:
        """Write a file of the run; it appears whole or not at all.

        Raises:
            OSError: it cannot be written; what was there is there.
        """
        folder, _, name = path.rpartition("/")
        part = f"{folder}/.{name}.{uuid.uuid4().hex}.part"
        try:
            self._write(part, data)
            if isinstance(self.files, fs.LocalFileSystem):
                files.sync(Path(part))  # so that its new name never precedes its bytes
            self.files.move(part, path)
        except OSError:
            with suppress(OSError):
                self.files.delete_file(part)
            raise

    def tidy(self) -> None:
        """Remove what killed processes were writing, and their marks. For whoever holds the run."""
        for info in self._list(self.root, recursive=True):
            if PART.fullmatch(info.base_name) or info.base_name.startswith(MARK):
                with suppress(OSError):
                    self.files.delete_file(info.path)

    def _unwritable(self, error: OSError) -> PipelineError:
        return PipelineError(f"{named(self.storage)}: cannot be written: {_why(self.storage, error)}")

    def mark(self) -> str:
        """Leave a mark that `check_shared` looks for on other nodes; return it.

        It is this driver's own.
        """
        mark = uuid.uuid4().hex
        try:
            self._write(self._mark(mark), mark.encode())
        except OSError as error:
            raise self._unwritable(error) from None
        return mark

    @contextmanager
    def marked(self) -> Iterator[str]:
        """A mark for the block."""
        mark = self.mark()
        try:
            yield mark
        finally:
            self.unmark(mark)

    def unmark(self, mark: str) -> None:
        """Remove the mark; one that cannot be removed is the next driver's to remove."""
        with suppress(OSError):
            self.files.delete_file(self._mark(mark))

    def _mark(self, mark: str) -> str:
        return f"{self.root}/{MARK}-{mark}"

    def check_shared(self, mark: str, node: str) -> None:
        """Raise unless this node sees what the driver left, since then its checkpoints would be lost."""
        try:
            with self.files.open_input_stream(self._mark(mark)) as stream:
                found = stream.read()
        except FileNotFoundError:
            found = None
        except OSError as error:  # which is no sign of another storage
            why = _why(self.storage, error)
            raise PipelineError(f"{named(self.storage)}: node {node} cannot read it: {why}") from None
        if found != mark.encode():
            raise PipelineError(
                f"--storage {self.storage}: node {node} does not see what the driver writes there; "
                "name storage that every node shares, such as s3://bucket/folder or an NFS path"
            )

    def is_run(self) -> bool:
        """Whether it is one: a storage may have other folders beside runs."""
        names = {info.base_name for info in self._list(self.root)}
        return ABOUT in names or any(EPOCH.fullmatch(name) or name.startswith(MARK) for name in names)

    def delete(self) -> None:
        """Delete the run with all that is in its folder.

        Raises:
            PipelineError: something in it was not written by vaepipe; nothing was deleted.
        """
        paths = [info.path.removeprefix(f"{self.root}/") for info in self._list(self.root, recursive=True)]
        if foreign := sorted(path for path in paths if not OURS.fullmatch(path)):
            raise PipelineError(
                f"{self.storage}/{self.run}: holds {foreign[0]}, which vaepipe did not write; move it "
                "elsewhere"
            )
        self.files.delete_dir(self.root)

    def _write(self, path: str, data: bytes) -> None:
        self.files.create_dir(path.rpartition("/")[0])
        with self.files.open_output_stream(path) as stream:
            stream.write(data)

    def _list(self, folder: str, recursive: bool = False) -> Iterable[fs.FileInfo]:
        selector = fs.FileSelector(folder, allow_not_found=True, recursive=recursive)
        try:
            return list(self.files.get_file_info(selector))
        except OSError as error:
            raise _unreadable(self.storage, error, folder) from None


def named(storage: str) -> str:
    """A storage as errors name it: by its option, unless it is the workspace's own."""
    return storage if storage == paths.run_storage(None) else f"--storage {storage}"


def _is_folder(info: fs.FileInfo) -> bool:
    return bool(info.type == fs.FileType.Directory)


def names(storage: str) -> list[str]:
    """The runs in a storage.

    Raises:
        PipelineError: it cannot be used.
    """
    files, root = open_storage(storage)
    try:
        folders = files.get_file_info(fs.FileSelector(root, allow_not_found=True))
    except OSError as error:
        raise _unreadable(storage, error, root) from None
    found = (info.base_name for info in folders if _is_folder(info))
    return sorted(name for name in found if name != TRIALS and RunFolder(storage, name).is_run())


def _unreadable(storage: str, error: OSError, place: str) -> PipelineError:
    """Error of a storage: keys that are wrong, somebody else's bucket, permissions on a local disk."""
    if isinstance(error, PermissionError) and "://" not in storage:
        return PipelineError(f"{place}: cannot be read: Permission denied")
    return PipelineError(f"{named(storage)}: cannot be used: {_why(storage, error)}")


def _why(storage: str, error: OSError) -> str:
    """The system's words, of a folder; of an object store its server's."""
    return one_line(error) if "://" in storage else reason(error)


def open_storage(storage: str) -> tuple[fs.FileSystem, str]:
    """Its file system, and its folder there, without a / at the end.

    Raises:
        PipelineError: it is of no kind that is known.
    """
    try:
        files, root = fs.FileSystem.from_uri(storage)
    except (OSError, ValueError) as error:
        raise PipelineError(f"--storage {storage}: cannot be used: {error}") from None
    return files, root.rstrip("/")
