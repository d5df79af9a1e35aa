"""Folders that cannot be written and files that cannot be read: one line, a status, nothing changed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.common import paths
from pipeline.data.svhn import matfile
from pipeline.experiment import workspace as workspaces
from pipeline.runs.checkpoints import Checkpoints
from pipeline.stages import convert, split
from tests.helpers.checkout import CUT, ROOT

pytestmark = pytest.mark.slow

# Root may do everything, unless these are taken from it.
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []

STAGES = ("prepare", "download", "convert", "split", "classifier", "train", "merge")
READ_ONLY = {
    **{f"{name}": "cannot be written: Permission denied" for name in STAGES},
    "study latent": ".vaepipe/running: cannot be written: Permission denied",
    "tune": ".vaepipe/running: cannot be written: Permission denied",
    "runs --prune --yes": ".vaepipe/runs: cannot be written: Permission denied",
    "studies --prune --yes": ".vaepipe/trials: cannot be written: Permission denied",
    "preset apply joint": "params.yaml: cannot be written: Permission denied; it is as it was",
    "sample -o x.png": "x.png: cannot be written: . takes no new files; name another place",
    "encode p.png -o x.h5": "x.h5: cannot be written: . takes no new files; name another place",
    "decode z.h5 -o back": "back: cannot be written: . takes no new files; name another place",
    "reconstruct p.png -o x.png": "x.png: cannot be written: . takes no new files; name another place",
    "interpolate p.png p.png -o x.png": "x.png: cannot be written: . takes no new files; name another place",
    "init new": "new: cannot be written: Permission denied; it is as it was",
    "demo new": "new: cannot be written: Permission denied; it is as it was",
}
LISTS = ("studies", "runs", "preset list", "preset show joint", f"cluster check {ROOT}/clusters/onprem.yaml")
RUN = ".vaepipe/runs/cut-off"
CLOSED = {
    (
        "models/red.safetensors",
        "sample -o x.png",
    ): "models/red.safetensors: cannot be read: Permission denied; ",
    ("models/red.safetensors", "runs"): "models/red.safetensors: cannot be read: Permission denied",
    ("models/red.safetensors", "merge"): "models/red.safetensors: cannot be read: Permission denied; ",
    ("models", "runs --prune --yes"): "models: cannot be read: Permission denied",
    ("models", "sample -o x.png"): "models: cannot be read: Permission denied; ",
    (f"{RUN}/about.json", "runs"): f"{RUN}/about.json: cannot be read: Permission denied",
    (RUN, "runs"): f"{RUN}: cannot be read: Permission denied",
    (f"{RUN}/epoch-000001", "runs"): f"{RUN}/epoch-000001: cannot be read: Permission denied",
    (".vaepipe/runs", "runs"): ".vaepipe/runs: cannot be read: Permission denied",
    ("params.yaml", "train"): "params.yaml: cannot be read: Permission denied",
    ("params.yaml", "runs"): "params.yaml: cannot be read: Permission denied",
    ("params.yaml", "preset apply joint"): "params.yaml: cannot be read: Permission denied",
    ("studies.yaml", "studies"): "studies.yaml: cannot be read: Permission denied",
    ("data/raw/train_32x32.mat", "convert"): "data/raw/train_32x32.mat: cannot be read: Permission denied",
    ("data/svhn.h5", "split"): "data/svhn.h5: cannot be read: Permission denied",
    ("data/channels/red.h5", "train"): "data/channels/red.h5: cannot be read: Permission denied",
    ("data/channels/red.h5", "study latent"): "data/channels/red.h5: cannot be read: Permission denied",
    ("data/channels", "merge"): "data/channels/red.h5: cannot be read: Permission denied",
    ("plots/training.csv", "merge"): "plots/training.csv: cannot be read: Permission denied",
    ("z.h5", "decode z.h5 -o back"): "z.h5: cannot be read: Permission denied",
    ("p.png", "encode p.png -o x.h5"): "p.png: cannot be read: Permission denied",
    ("onprem.yaml", "cluster check onprem.yaml"): "onprem.yaml: cannot be read: Permission denied",
    ("data/channels", "split"): "data/channels/red.h5: cannot be written: Permission denied",
    ("data", "split"): "data/svhn.h5: cannot be read: Permission denied",
    ("data", "encode data/x.png -o x.h5"): "data/x.png: Permission denied",
}


def run(jobs: list[dict[str, Any]], place: Path, umask: int = 0o022) -> list[dict[str, Any]]:
    """What came of commands (see `commands`), by someone who is not root."""
    if UNPRIVILEGED and not shutil.which("setpriv"):
        pytest.skip("root may read and write all, and there is no setpriv to give that up")
    written = place.parent / "jobs.json"
    written.write_text(json.dumps(jobs))
    command = [*UNPRIVILEGED, sys.executable, "-m", "tests.helpers.commands", str(written)]
    ran = subprocess.run(
        command,
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        umask=umask,
        check=True,
    )
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    crops: tuple[np.ndarray, np.ndarray],
    folders: dict[str, Path],
) -> Path:
    """A workspace with data, models, a run, a picture and a latent file."""
    place = tmp_path_factory.mktemp("permissions") / "w"
    workspaces.create(place, {"data": {"source": "synthetic"}, "synthetic": {"train": 200, "test": 100}})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        paths.RAW.mkdir(parents=True)
        for name, part in (("train", slice(200)), ("test", slice(200, None))):
            matfile.write(paths.raw(name), crops[0][part], crops[1][part])
        convert.run(*CUT)
        split.run()
        shutil.copytree(folders["separate"], paths.MODELS)
        paths.CLASSIFIER_FOLDER.mkdir()
        paths.HISTORY.parent.mkdir()
        paths.HISTORY.write_text("epoch,component,split,cost,reconstruction,kl\n")
        Image.fromarray(crops[0][0].transpose(1, 2, 0)).save("p.png")
        shutil.copy(ROOT / "clusters/onprem.yaml", ".")
        run_folder = Checkpoints(str(paths.runs().absolute()), "cut-off", ("red",))
        run_folder.describe(components=("red",))
        Path(run_folder.folder(1)).mkdir()
    [encoded] = run([{"arguments": ["encode", "p.png", "-o", "z.h5"]}], place)
    assert encoded["status"] == 0, encoded["err"]
    return place


@pytest.fixture(scope="module")
def outcomes(place: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """What came of each command, by what was closed to it. All of one process, since torch loads slowly."""
    kinds = [("read only", line) for line in (*READ_ONLY, *LISTS, "doctor")] + list(CLOSED)
    jobs = [
        {"arguments": line.split(), **({"read_only": True} if kind == "read only" else {"closed": kind})}
        for kind, line in kinds
    ]
    return dict(zip(kinds, run(jobs, place), strict=True))


def check_one_line(outcome: dict[str, Any], said: str) -> None:
    assert outcome["status"] == 1, outcome
    errors = [line for line in outcome["err"].splitlines() if line.startswith("error: ")]
    assert "Traceback" not in outcome["err"], outcome["err"]
    assert outcome["err"].splitlines()[-1:] == errors, outcome["err"]
    assert said in errors[0]


@pytest.mark.parametrize("command", READ_ONLY)
def test_a_folder_that_cannot_be_written(outcomes: dict[tuple[str, str], Any], command: str) -> None:
    check_one_line(outcomes["read only", command], READ_ONLY[command])
    assert outcomes["read only", command]["wrote"] == []


@pytest.mark.parametrize("command", LISTS)
def test_lists_write_nothing(outcomes: dict[tuple[str, str], Any], command: str) -> None:
    outcome = outcomes["read only", command]
    assert (outcome["status"], outcome["err"], outcome["wrote"]) == (0, "", [])
    assert outcome["out"]


def test_the_doctor_says_it_and_leaves_nothing(outcomes: dict[tuple[str, str], Any]) -> None:
    outcome = outcomes["read only", "doctor"]
    assert (outcome["status"], outcome["wrote"]) == (1, [])
    assert any(
        line.startswith("problem  workspace") and "cannot be written" in line
        for line in outcome["out"].splitlines()
    )


@pytest.mark.parametrize(("closed", "command"), CLOSED)
def test_what_cannot_be_read(outcomes: dict[tuple[str, str], Any], closed: str, command: str) -> None:
    outcome = outcomes[closed, command]
    check_one_line(outcome, CLOSED[closed, command])
    assert outcome["out"] == ""
