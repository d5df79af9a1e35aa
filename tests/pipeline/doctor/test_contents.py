"""What the doctor finds in a workspace that it may not read."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pipeline.common import paths
from pipeline.doctor import contents
from pipeline.experiment import guard


def test_folders_that_may_not_be_read_are_problems(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths.MODELS.mkdir()
    guard.RUNNING.mkdir(parents=True)
    assert [found.status for found in (contents._free(None), contents._idle())] == ["ok", "ok"]

    def closed(path: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "scandir", closed)
    monkeypatch.setattr(os, "listdir", closed)
    for found, folder in ((contents._free(None), paths.MODELS), (contents._idle(), guard.RUNNING)):
        assert (found.status, found.found) == ("problem", f"{folder}: cannot be read: Permission denied")
        assert found.advice == contents.CLOSED
