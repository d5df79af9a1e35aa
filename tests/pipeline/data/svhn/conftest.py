"""Downloads of one small file, without waiting; generated photos of full numbers."""

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.data.svhn import fetch, official_files
from pipeline.stages import download
from pipeline.stages.download import DownloadConfig
from tests.helpers.archives import GENERATED
from tests.helpers.file_server import KNOWN, Handler, Server, good


@pytest.fixture
def quick(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An official set of one small file; no proxy between; no patience."""
    monkeypatch.setattr(paths, "SVHN_SPLITS", ("train",))
    monkeypatch.setitem(official_files.OFFICIAL, "train", KNOWN)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(fetch, "ATTEMPTS", 3)
    monkeypatch.setattr(fetch, "BACKOFF", 0.01)
    monkeypatch.setattr(fetch, "TIMEOUT", 10.0)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.over, server.answers, server.asked = threading.Event(), [good], []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with generated photos in data/raw, to be copied."""
    folder = tmp_path_factory.mktemp("photos")
    with contextlib.chdir(folder):
        download.run(DownloadConfig("synthetic", "full"), GENERATED)
    return folder


@pytest.fixture
def full(workspace: Path, photos: Path) -> Path:
    """A workspace with generated photos in data/raw."""
    shutil.copytree(photos, workspace, dirs_exist_ok=True)
    return workspace
