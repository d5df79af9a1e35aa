"""A day of ordinary use, with DVC's own commands: every one ends well, and says nothing that is not needed.

In a fresh git clone and in a workspace of `vaepipe init`. Minutes: `make test-day`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from tests.helpers.checkout import ROOT
from tests.helpers.workspaces import SMALL, git

pytestmark = pytest.mark.day

SHOW = ["dvc", "exp", "show", "--only-changed", "--drop"]
NARROW = 120  # columns
API = """
import json, dvc.api
print(json.dumps({
    "metrics": dvc.api.metrics_show(),
    "params": dvc.api.params_show(),
    "experiments": len(dvc.api.exp_show()),
    "report": len(dvc.api.read("report/index.html")),
}))
"""


class Person:
    """Somebody who works in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def does(self, *command: str, **variables: str) -> str:
        """Run a command that has to end well, without a warning; return what it said."""
        line = [sys.executable, "-m", *command] if command[0] == "dvc" else list(command)
        author = {f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(
            line,
            cwd=self.folder,
            env=os.environ | author | {"COLUMNS": "120"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}"
        found = re.findall(r"(?im)^.*(?:warning|error|failed|traceback).*$", done.stdout)
        assert not found, f"{command}: {found}"
        return done.stdout

    def commits(self, message: str) -> None:
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--message", message)


def cloned(folder: Path) -> None:
    """The checkout as git has it, with what is not committed yet."""
    for name in git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")


def columns() -> str:
    """What the README leaves out of DVC's table."""
    [pattern] = re.findall(r"dvc exp show --only-changed --drop '([^']*)'", (ROOT / "README.md").read_text())
    return str(pattern)


@pytest.mark.parametrize("kind", ["clone", "init"])
def test_a_day(kind: str, tmp_path: Path) -> None:
    one, other = Person(tmp_path / "w"), Person(tmp_path / "elsewhere/theirs")
    starts(one, kind, tmp_path / "remote")
    experiments(one)
    hands_over(one, other, tmp_path / "moved")
    changes_and_compares(other)
    studies(other)


def starts(one: Person, kind: str, remote: Path) -> None:
    """The first run, committed; a second one finds nothing to do."""
    if kind == "clone":
        cloned(one.folder)
    else:
        workspaces.create(one.folder)
    params.change(one.folder / paths.PARAMS, SMALL)
    git(one.folder, "config", "user.email", "x@y")
    git(one.folder, "config", "user.name", "x")
    one.commits("what to do")

    first = one.does("dvc", "repro")
    assert [line.split("'")[1] for line in first.splitlines() if line.startswith("Running stage")][
        -1
    ] == "merge"
    one.does("dvc", "remote", "add", "--default", "theirs", str(remote))
    one.commits("the first results")
    untouched = one.does("dvc", "repro")
    assert "Running stage 'prepare'" in untouched
    assert untouched.count("Running stage") == 1
    assert one.does("dvc", "status") == "prepare:\n\talways changed\n"
    assert git(one.folder, "status", "--porcelain") == ""


def experiments(one: Person) -> None:
    """Experiments beside the workspace, in a copy of it, and from a queue; one of them is taken."""
    one.does("dvc", "exp", "run", "--name", "six", "-S", "model.latent=6")
    one.does("dvc", "exp", "run", "--name", "ten", "-S", "merge.images=10")
    # A copy of the workspace, which DVC deletes: it goes on from the workspace's own checkpoints.
    longer = one.does("dvc", "exp", "run", "--temp", "--name", "longer", "-S", "train.epochs=4")
    assert "going on from the checkpoint of epoch 3" in longer
    one.does("dvc", "exp", "run", "--queue", "--name", "seven", "-S", "model.latent=7")
    one.does("dvc", "exp", "run", "--run-all")
    assert len(list((one.folder / ".vaepipe/runs").glob("*/about.json"))) == 3
    table = one.does(*SHOW, columns())
    assert all(name in table for name in ("six", "ten", "longer", "seven"))
    assert max(map(len, table.splitlines())) <= NARROW, table

    one.does("dvc", "exp", "apply", "seven")
    assert params.read(one.folder / paths.PARAMS).model.latent == 7
    one.does("dvc", "checkout")
    assert one.does("dvc", "status") == "prepare:\n\talways changed\n"
    one.commits("seven is best")
    one.does("dvc", "push")


def hands_over(one: Person, other: Person, moved: Path) -> None:
    """A clone pulls the results, and finds them whole; the first workspace is moved away."""
    other.folder.parent.mkdir()
    git(one.folder, "clone", "--quiet", str(one.folder), str(other.folder))
    one.folder.rename(moved)  # nothing leads back to it
    other.does("dvc", "pull")
    assert other.does("dvc", "status") == "prepare:\n\talways changed\n"
    assert other.does("dvc", "repro").count("Running stage") == 1
    report = (other.folder / paths.REPORT).read_bytes()
    assert report == (moved / paths.REPORT).read_bytes()


def changes_and_compares(other: Person) -> None:
    """A preset, and what DVC says of the difference."""
    other.does("vaepipe", "preset", "apply", "joint")
    params.change(other.folder / paths.PARAMS, {"train": {"epochs": 2}})
    other.does("dvc", "repro")
    assert "model.channels" in other.does("dvc", "params", "diff")
    assert "cost" in other.does("dvc", "metrics", "diff")
    other.does("dvc", "plots", "diff")
    assert len(other.does("dvc", "metrics", "show").splitlines()) == 2
    assert max(map(len, other.does("dvc", "dag").splitlines())) <= NARROW
    told = json.loads(other.does(sys.executable, "-c", API))
    assert told["metrics"].keys() >= {"cost", "excess", "mse", "ssim"}
    assert told["params"]["model"]["channels"] == "joint"
    assert told["report"] > 10_000


def studies(other: Person) -> None:
    """A study as a stage beside the pipeline's."""
    assert "Running stage 'studies/dvc.yaml:likelihood'" in other.does(
        "vaepipe", "study", "likelihood", "--dvc"
    )
    other.commits("a study")
    for command in ("checkout", "push", "pull", "status", "dag"):
        other.does("dvc", command)
    other.does("dvc", "exp", "run", "-S", "merge.images=9")
