"""Locks in a storage, so that two drivers never write to the same checkpoints, from wherever they run.

A storage that is a folder, local or mounted, is locked by the kernel (see `locks`), on NFS by its server. An
object store has no locks: there a driver leaves a lease, an object that it renews, and that counts as long as
it does.
"""

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from pyarrow import fs

from pipeline.common import files, locks, this_process
from pipeline.common.errors import PipelineError, one_line, reason
from pipeline.runs import run_folder

RENEWED = 20.0  # seconds between two renewals of a lease
STALE = 90.0  # seconds after which a lease that was not renewed counts no more
SETTLED = 2.0  # seconds between writing a lease and reading who won: longer than a write is under way

Check = Callable[[], None]


@contextmanager
def locked(storage: str, name: str, taken: Callable[[str], NoReturn]) -> Iterator[Check]:
    """Be the one process that holds `name` in the storage; where another does, `taken` gets its description.

    Yields a function to call now and then: it raises once the lock is lost, which a lease can be.

    Raises:
        PipelineError: the storage cannot be used, or what `taken` raises.
    """
    files, root = run_folder.open_storage(storage)
    with ExitStack() as held:
        if isinstance(files, fs.LocalFileSystem):
            _make(storage, Path(root))
            try:
                held.enter_context(locks.locked(Path(root) / name, taken))
            except locks.NoLocks:
                pass  # then a lease
            else:
                yield lambda: None
                return
        lease = Lease(storage, name)
        lease.take(taken)
        held.callback(lease.release)
        yield lease.check


class Lease:
    """An object `<storage>/<name>.lease`, renewed by a thread."""

    def __init__(self, storage: str, name: str) -> None:
        self.files, self.root = run_folder.open_storage(storage)
        self.storage, self.path = storage, f"{self.root}/{name}.lease"
        self.driver = uuid.uuid4().hex
        self.holder = this_process.described()
        self.lost = ""  # to whom
        self.renewed = time.monotonic()
        self.released = threading.Event()

    def take(self, taken: Callable[[str], NoReturn]) -> None:
        """Take the lease, or call `taken`."""
        try:
            lease = self._read()
            if lease and self._counts(lease):
                taken(self._described(lease))
            self._write()
            # Of several that found none, all have written by then, and the last one is who is read.
            time.sleep(SETTLED)
            lease = self._read()
        except OSError as error:
            said = one_line(error)
            raise PipelineError(f"--storage {self.storage}: cannot be written: {said}") from None
        if lease.get("driver") != self.driver:
            taken(self._described(lease))
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def check(self) -> None:
        """Raise once another driver has the lease, or may have it by now."""
        if self.lost:
            raise PipelineError(
                f"--storage {self.storage}: {self.lost} has taken over {self.path}, as if this driver had "
                "died; it stops, and its checkpoints are kept"
            )
        if time.monotonic() - self.renewed > STALE:
            raise PipelineError(
                f"--storage {self.storage}: {self.path} could not be renewed for {STALE:.0f} s, so another "
                "driver may take it; checkpoints are kept, and the same command goes on from them"
            )

    def release(self) -> None:
        self.released.set()
        # One that cannot be deleted counts until it is stale.
        with suppress(OSError):
            if self._read().get("driver") == self.driver:
                self.files.delete_file(self.path)

    def _keep(self) -> None:
        while not self.released.wait(RENEWED):
            # `check` says so where no try succeeds.
            with suppress(OSError):
                lease = self._read()
                if lease and lease.get("driver") != self.driver:
                    self.lost = self._described(lease)
                    return
                self._write()
                self.renewed = time.monotonic()

    def _write(self) -> None:
        about = {
            "driver": self.driver,
            "holder": self.holder,
            "machine": this_process.machine(),
            "process": os.getpid(),
            "started": this_process.started(),
        }
        self._put(self.path, json.dumps(about))

    def _read(self) -> dict[str, Any]:
        """The lease that is there; empty where there is none, or none that can be read."""
        try:
            with self.files.open_input_stream(self.path) as stream:
                lease = files.parse_json(stream.read())
        except (FileNotFoundError, ValueError):
            return {}
        return lease if isinstance(lease, dict) else {}

    def _counts(self, lease: dict[str, Any]) -> bool:
        if lease.get("machine") == this_process.machine():
            return this_process.runs(lease.get("process", 0), lease.get("started", 0.0))
        return self._age() < STALE

    def _age(self) -> float:
        """Seconds since it was renewed, by the storage's own clock, which all drivers share."""
        now = f"{self.root}/.{self.driver}.now"
        self._put(now, "")
        try:
            infos = self.files.get_file_info([now, self.path])
        finally:
            self.files.delete_file(now)
        written, renewed = (info.mtime for info in infos)
        return (written - renewed).total_seconds() if written and renewed else 0.0

    def _described(self, lease: dict[str, Any]) -> str:
        return str(lease.get("holder", "another process"))

    def _put(self, path: str, text: str) -> None:
        self.files.create_dir(self.root)
        with self.files.open_output_stream(path) as stream:
            stream.write(text.encode())


def _make(storage: str, root: Path) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = "Not a directory" if isinstance(error, FileExistsError) else reason(error)
        raise PipelineError(f"{run_folder.named(storage)}: cannot be used: {why}") from None
