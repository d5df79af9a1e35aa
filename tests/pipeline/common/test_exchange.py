import errno
import subprocess
from pathlib import Path

import pytest

from pipeline.common import exchange, files
from pipeline.common.errors import PipelineError


def lay(folder: Path, name: str) -> Path:
    folder.mkdir()
    (folder / name).write_text(name)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unable(*_: Path) -> None:
    raise OSError(errno.EINVAL, "this file system cannot exchange")


@pytest.fixture(params=["exchanged", "moved"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "moved":
        monkeypatch.setattr(exchange, "_exchange", unable)
    return str(request.param)


def test_a_folder_is_replaced(tmp_path: Path, way: str) -> None:
    path = lay(tmp_path / "models", "old")
    with files.atomic_directory(path) as part:
        (part / "new").touch()
    assert names(path) == ["new"]
    assert names(tmp_path) == ["models"]


def test_what_was_there_is_there_when_renaming_fails(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = lay(tmp_path / "models", "old")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    rename = Path.rename

    def late(source: Path, target: Path) -> Path:
        """The new folder cannot be renamed; others can."""
        if target == path and (source / "new").exists():
            fail()
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", late)
    if way == "exchanged":
        monkeypatch.setattr(exchange, "_exchange", fail)
    with (
        pytest.raises(PipelineError, match="models: cannot be written: Input/output error; it is as it was"),
        files.atomic_directory(path) as part,
    ):
        (part / "new").touch()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["models"]


def test_a_move_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    path, kept = tmp_path / "models", lay(tmp_path / ".models.replaced.part", "old")
    files.complete(path)
    assert names(path) == ["old"]
    assert not kept.exists()
    files.complete(path)
    assert names(path) == ["old"]


def test_what_was_moved_aside_is_no_obstacle_once_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process was killed after both steps, before it removed the old one."""
    monkeypatch.setattr(exchange, "_exchange", unable)
    path = lay(tmp_path / "models", "new")
    lay(tmp_path / ".models.replaced.part", "old")
    with files.atomic_directory(path) as part:
        (part / "newer").touch()
    assert names(path) == ["newer"]
    assert names(tmp_path) == ["models"]


def test_a_link_to_a_folder_stays_one(tmp_path: Path) -> None:
    place = lay(tmp_path / "elsewhere", "old")
    link = tmp_path / "models"
    link.symlink_to(place)
    with files.atomic_directory(link) as part:
        (part / "new").touch()
    assert link.is_symlink()
    assert names(place) == ["new"]
    assert names(tmp_path) == ["elsewhere", "models"]


def test_a_mounted_folder_keeps_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "models"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "none", str(path)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        (path / "old").touch()
        with (
            pytest.raises(
                PipelineError, match="models: cannot be replaced as a whole, perhaps because a file"
            ),
            files.atomic_directory(path) as part,
        ):
            (part / "new").touch()
        assert names(path) == ["old"]
    finally:
        subprocess.run(["umount", str(path)], check=True)
    assert names(tmp_path) == ["models"]
