import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.common import files, locks
from pipeline.common.errors import PipelineError
from pipeline.data import hdf5
from pipeline.experiment import workspace as workspaces
from pipeline.runs.checkpoints import Checkpoints
from tests.helpers import models
from vae import modelfile


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out" / "file"
    with files.atomic_file(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with files.atomic_file(path) as part:
            part.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_read_only_file_is_replaced_not_written_to(tmp_path: Path) -> None:
    """DVC links its cache into the workspace: writing through the link would spoil the cache."""
    cache, path = tmp_path / "cache", tmp_path / "file"
    cache.write_text("cached")
    cache.chmod(0o444)
    path.hardlink_to(cache)
    files.write_text(path, "new")
    assert (cache.read_text(), path.read_text()) == ("cached", "new")


def test_a_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "models"
    path.mkdir()
    (path / "stale").write_text("")
    with files.atomic_directory(path) as part:
        (part / "fresh").write_text("")
        assert (path / "stale").exists()
    assert [p.name for p in path.iterdir()] == ["fresh"]
    assert [p.name for p in tmp_path.iterdir()] == ["models"]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    with files.atomic_file(tmp_path / "file") as part:
        part.touch()
    left, alive, elsewhere, forsaken = (
        tmp_path / part.name.replace(f"-{os.getpid()}.", f"{suffix}.")
        for suffix in (f"-{int(dead.stdout)}", f"-{os.getppid()}", "0-1", "0-2")
    )
    for each in (left, alive, elsewhere, forsaken):
        each.write_text("half")
    os.utime(forsaken, (0, 0))
    files.write_text(tmp_path / "file", "whole")
    assert not left.exists()
    assert alive.exists()
    # Of another machine, or of another container: its processes are not those of this one.
    assert elsewhere.exists()
    assert not forsaken.exists()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match="inside: cannot be written: File exists"):
        files.write_text(tmp_path / "file" / "inside", "")


def test_modes_are_what_the_umask_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = models.start("red", models.square(8), models.model(hidden=(4,), latent=2))
    before = os.umask(0o027)
    try:
        files.write_text(Path("a/text"), "")
        with files.atomic_directory(Path("b/models")) as part:
            modelfile.save_model(part / "red.safetensors", state)
        with hdf5.create(Path("c/file.h5")) as file:
            file.create_dataset("x", data=[1])
        checkpoints = Checkpoints(str(tmp_path / "runs"), "run", ("red",))
        checkpoints.save(state)
        checkpoints.describe(a=1)
        checkpoints.mark()
        with locks.locked(Path("locks/lock"), print):
            assert Path("locks/lock.holder").stat().st_mode & 0o777 == 0o640
        workspaces.create(Path("w"), workspaces.DEMO, git=False)
    finally:
        os.umask(before)
    for path in tmp_path.rglob("*"):
        if not path.is_symlink() and not any(parent.is_symlink() for parent in path.parents):
            assert path.stat().st_mode & 0o777 == (0o750 if path.is_dir() else 0o640), path


def test_another_file_that_fails_is_named_by_itself(tmp_path: Path) -> None:
    with (
        pytest.raises(PipelineError, match=r"none: No such file or directory; .*/file was not written$"),
        files.atomic_file(tmp_path / "file"),
    ):
        (tmp_path / "none").read_text()


def test_a_read_only_file_system(tmp_path: Path) -> None:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "none", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        with pytest.raises(
            PipelineError, match="file: cannot be written: Read-only file system; it is as it was"
        ):
            files.write_text(tmp_path / "file", "")
        with (
            pytest.raises(
                PipelineError, match="folder: cannot be written: Read-only file system; it is as it was"
            ),
            files.atomic_directory(tmp_path / "folder"),
        ):
            pass
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_file_within_a_folder_that_is_not_written_yet_has_its_final_name(tmp_path: Path) -> None:
    with (
        pytest.raises(PipelineError, match=r"new/x.json: cannot be written: No space left on device; it is"),
        files.atomic_directory(tmp_path / "new") as folder,
        files.atomic_file(folder / "x.json"),
    ):
        raise OSError(errno.ENOSPC, "", "/source")  # as a copy names what it reads


def test_a_folder_that_may_not_be_read_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a/closed/c").mkdir(parents=True)
    (tmp_path / "a/b").touch()
    assert files.entries(tmp_path / "absent") == []
    assert files.entries(tmp_path / "a") == [tmp_path / "a/b", tmp_path / "a/closed"]
    assert sorted(files.below(tmp_path / "a")) == [tmp_path / "a" / n for n in ("b", "closed", "closed/c")]
    for name in ("listdir", "scandir"):
        real = getattr(os, name)

        def closed(path: Any, real: Any = real) -> Any:
            if Path(path).name == "closed":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(path)

        monkeypatch.setattr(os, name, closed)
    with pytest.raises(PipelineError, match=r"a/closed: cannot be read: Permission denied$"):
        files.entries(tmp_path / "a/closed")
    with pytest.raises(PipelineError, match=r"a/closed: cannot be read: Permission denied$"):
        list(files.below(tmp_path / "a"))
