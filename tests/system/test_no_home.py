"""The whole pipeline as a user without a name and without a home, as containers of OpenShift's have."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.experiment import workspace as workspaces
from tests.helpers.checkout import ROOT
from tests.helpers.workspaces import SMALL

NOBODY = 4711  # a number without an entry in /etc/passwd

# In mounts of its own, where the interpreter is bound into a folder that others may enter.
AS_NOBODY = """
set -e
if [ -n "$HIDDEN" ]; then
    mount --make-rprivate /
    mount --bind "$PREFIX" "$COPY"
    mount -t tmpfs -o mode=755 none "$HIDDEN"
    mkdir -p "$PREFIX"
    mount --bind "$COPY" "$PREFIX"
fi
exec setpriv --reuid=4711 --regid=4711 --clear-groups --bounding-set=-all --inh-caps=-all "$@"
"""


def hidden(path: Path) -> str:
    """The first folder above `path` that others may not enter."""
    closed = [parent for parent in reversed(path.parents) if not parent.stat().st_mode & 0o001]
    return str(closed[0]) if closed else ""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may enter, and in which only its owner makes any other."""
    folder = Path(tempfile.mkdtemp(prefix="vaepipe-nobody-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def as_nobody(place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    prefix = Path(sys.base_prefix)
    (place / "interpreter").mkdir(exist_ok=True)
    settings = {"HIDDEN": hidden(prefix), "PREFIX": str(prefix), "COPY": str(place / "interpreter")}
    environment = {name: value for name, value in os.environ.items() if name not in ("USER", "LOGNAME")}
    nowhere = {"HOME": str(place / "home"), "LOGNAME": "nobody-here"}  # LOGNAME: for DVC
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", AS_NOBODY, "sh", *command],
        cwd=place / "w",
        env=environment | settings | nowhere,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.mark.day
def test_the_pipeline_without_a_name_and_a_home(place: Path) -> None:
    workspaces.create(place / "w", SMALL, git=False)
    if os.getuid() or hidden(ROOT / "pipeline"):
        pytest.skip("becoming another user needs root, and a checkout that others may read")
    for path in (place / "w", *(place / "w").rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    if as_nobody(place, sys.executable, "-c", "").returncode:
        pytest.skip("another user cannot start this interpreter")
    done = as_nobody(place, sys.executable, "-m", "dvc", "repro")
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert (place / "w" / paths.REPORT).exists()
    assert "Traceback" not in said
    assert "atplotlib" not in said
    assert not (place / "home").exists()
