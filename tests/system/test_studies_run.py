"""Studies and searches as people run them: commands, kills, DVC."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.common import paths
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from pipeline.stages import convert, split
from tests.helpers.checkout import CUT, Vaepipe

pytestmark = pytest.mark.slow

CHANGES: params.Changes = {
    "data": {"validation": 0.2},
    "model": {"latent": 2, "hidden": [8, 8]},
    "train": {"epochs": 3, "batch_size": 40},
}
STUDIES = """
noise: seeds
studies:
  seeds: {vary: {train.seed: [0, 1]}}
  latent: {question: Does it help?, vary: {model.latent: [2, 3]}}
  epochs: {vary: {train.epochs: [2, 3]}}
  rates: {vary: {train.learning_rate: [0.001, 1.0], model.likelihood: [gaussian]}}
searches:
  default:
    trials: 4
    grace: 1
    space:
      model.latent: {from: 2, to: 6}
      model.hidden: [[8, 8], [12, 8]]
      train.learning_rate: {from: 0.0005, to: 0.01, log: true}
"""


@pytest.fixture
def prepared(raw: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace of 200 training and 100 test crops, split into channels, with small studies."""
    convert.run(*CUT)
    split.run()
    workspaces.create(raw / "w", CHANGES, git=False)
    for folder in raw.glob("data"):
        folder.rename(raw / "w" / folder.name)
    monkeypatch.chdir(raw / "w")
    paths.STUDIES_YAML.write_text(STUDIES)
    return raw / "w"


def summary(name: str) -> dict[str, Any]:
    return dict(json.loads((paths.study(name) / "summary.json").read_text()))


def times() -> dict[str, int]:
    """When each result was written."""
    return {path.name: path.stat().st_mtime_ns for path in paths.trials().glob("*.safetensors")}


def dvc(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_studies_from_the_command_to_the_page(prepared: Path, vaepipe: Vaepipe) -> None:
    done = vaepipe("study", "latent", "epochs", "rates")
    assert done.returncode == 0, done.stderr
    # latent 2, seed 0 and epochs 3 are the defaults, of whose training epochs 2 is a snapshot.
    assert "6 trials; 6 to run in 5 trainings, 1 CPU core each" in done.stderr
    for name in ("latent", "epochs", "rates"):
        files = {path.name for path in paths.study(name).iterdir()}
        assert files == {"results.csv", "summary.json", "metrics.json", "plot.svg", "pictures.png"}
    assert set(summary("latent")["settings"]) == {"latent 2", "latent 3"}
    assert "Does it help?" in done.stdout
    with (paths.study("epochs") / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["train.epochs"], row["component"], row["split"]) for row in rows} == {
        (epochs, component, split)
        for epochs in ("2", "3")
        for component in (*paths.COLOURS, "rgb")
        for split in ("train", "validation", "test")
    }
    page = (paths.STUDIES / "index.html").read_text()
    assert page.index('id="latent"') < page.index('id="epochs"') < page.index('id="rates"')

    # A failed trial sinks no study.
    [(label, reason)] = summary("rates")["failed"].items()
    assert label == "learning_rate 1.0, likelihood gaussian"
    assert re.match("the cost of .* became nan in epoch 1: try a smaller train.learning_rate", reason)
    assert list(summary("rates")["settings"]) == ["learning_rate 0.001, likelihood gaussian"]
    assert f"{label} failed: {reason}" in done.stdout

    # What has finished runs never again, not for another study either; nor does DVC run it twice.
    before = times()
    again = vaepipe("study", "latent", "seeds")
    assert again.returncode == 0, again.stderr
    assert "all finished already: nothing to train" in again.stderr
    dvc("repro", "prepare")
    dvc("commit", "--force", "download", "convert", "split")  # made by hand
    tracked = vaepipe("study", "latent", "--dvc", "--workers", "1")
    assert tracked.returncode == 0, tracked.stderr
    stage = "studies/dvc.yaml:latent"
    assert f"Running stage '{stage}'" in tracked.stdout
    assert "didn't change" in dvc("repro", "--single-item", stage)
    shown = json.loads(dvc("metrics", "show", "--json", "studies/latent/metrics.json"))
    found = shown[""]["data"]["studies/latent/metrics.json"]["data"]
    excess = {label: values["excess"] for label, values in summary("latent")["settings"].items()}
    assert found["excess"] == excess
    assert times() == before
    assert not checkpoints()

    # What nothing asks for any more may go; what is asked for stays.
    assert "nothing to delete" in vaepipe("studies", "--prune", "--yes").stdout
    paths.STUDIES_YAML.write_text(STUDIES.replace("model.latent: [2, 3]", "model.latent: [2]"))
    assert "deleted 1\n" in vaepipe("studies", "--prune", "--yes").stdout
    assert len(times()) == len(before) - 1


def run(*arguments: str) -> subprocess.Popen[str]:
    """Start a command that is going to be killed; it saves a checkpoint every epoch."""
    return subprocess.Popen(
        ["vaepipe", *arguments],
        env=os.environ | {"VAEPIPE_CHECKPOINT_SECONDS": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait(process: subprocess.Popen[str], condition: Callable[[], Any]) -> None:
    """Until something is so, while a command runs."""
    deadline = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def epochs(of: Path | None = None) -> list[int]:
    """That have checkpoints: of one training, or of all."""
    found = [path for path in checkpoints() if of in (None, path.parent)]
    return [int(path.name.removeprefix("epoch-")) for path in found]


def checkpoints() -> list[Path]:
    return list(paths.trials().glob("*/epoch-*"))


@pytest.mark.day
def test_a_killed_driver_and_a_killed_trial_lose_nothing(prepared: Path) -> None:
    params.change(paths.PARAMS, {"train": {"epochs": 60}})
    first = run("study", "latent", "--workers", "1")
    wait(first, lambda: times() and checkpoints())
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = times()
    assert 1 <= len(before) < 3
    reached = max(epochs())
    interrupted = checkpoints()[0].parent

    second = run("study", "latent", "--workers", "1")
    wait(second, lambda: _trial(second) is not None)
    doomed = _trial(second)
    assert doomed
    assert min(epochs(interrupted), default=reached) >= reached - 1, "it began anew"
    doomed.kill()
    said, _ = second.communicate(timeout=90)
    assert second.returncode == 0, said
    assert f"3 trials, {len(before)} finished already" in said
    assert "failed, and is tried again" in said
    after = times()
    assert {name: after[name] for name in before} == before
    assert len(after) == 3
    assert set(summary("latent")["settings"]) == {"latent 2", "latent 3"}
    assert not checkpoints()


def _trial(driver: subprocess.Popen[str]) -> psutil.Process | None:
    """The process in which a trial runs."""
    for process in psutil.Process(driver.pid).children(recursive=True):
        with suppress(psutil.Error):
            if (
                process.cmdline()
                and process.cmdline()[0].startswith("ray::")
                and "train" in process.cmdline()[0]
            ):
                return process
    return None


@pytest.mark.day
def test_ctrl_c_says_what_is_kept(prepared: Path, vaepipe: Vaepipe) -> None:
    params.change(paths.PARAMS, {"train": {"epochs": 60}})
    first = run("study", "latent", "--workers", "1")
    wait(first, lambda: times() and checkpoints())
    second = vaepipe("study", "latent")
    assert second.returncode == 1
    assert f"`vaepipe study` runs in this workspace already, as process {first.pid} on" in second.stderr
    started = time.monotonic()
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=30)
    assert time.monotonic() - started < 10
    assert first.returncode == 130
    last = said.splitlines()[-1]
    assert last.startswith(f"interrupted: {len(times())} of 3 trials are finished and kept, the others go on")


@pytest.mark.day
def test_a_search_from_kill_to_apply(prepared: Path, vaepipe: Vaepipe) -> None:
    params.change(paths.PARAMS, {"train": {"epochs": 30}})
    first = run("tune", "--workers", "1")
    wait(first, lambda: times() and checkpoints())
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = times()
    [journal] = paths.searches().glob("*.jsonl")
    tried = [json.loads(line)["setting"] for line in journal.read_text().splitlines()]

    done = vaepipe("tune", "--apply")
    assert done.returncode == 0, done.stderr
    assert {name: times()[name] for name in before} == before
    with (paths.study("default") / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert float(rows[0]["train.learning_rate"]) == 0.001  # the defaults come first
    assert all(any(row["model.latent"] == str(s["model.latent"]) for row in rows) for s in tried)
    best = summary("default")["best"]
    finished = [row for row in rows if row["state"] == "finished"]
    least = min(finished, key=lambda row: float(row["validation_cost"]))
    assert int(least["model.latent"]) == best["model.latent"]
    applied = params.read()
    assert (applied.model.latent, list(applied.model.hidden)) == (best["model.latent"], best["model.hidden"])
    assert applied.train.learning_rate == best["train.learning_rate"]

    # It is at its end, and its parameters are no longer the first ones': nothing is trained again.
    again = vaepipe("tune")
    assert again.returncode == 0, again.stderr
    assert "trials" not in again.stderr
