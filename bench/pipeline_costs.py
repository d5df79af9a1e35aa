"""Costs of the pipeline besides the epochs: the stages before, Ray's start, a `dvc repro` without work."""

import os
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import h5py

from pipeline.common import paths
from pipeline.experiment import params, workspace

CHANGES: params.Changes = {"data": {"source": "synthetic"}, "train": {"epochs": 1}}


@dataclass(frozen=True)
class Cost:
    """One command."""

    name: str
    seconds: float
    memory: int  # bytes, the most that was resident in its own process


def measure(folder: Path, rounds: int) -> list[Cost]:
    """Run the pipeline for an epoch on generated data of SVHN's size."""
    workspace.create(folder, CHANGES, git=False)
    _run(folder, "vaepipe", "prepare")
    costs = [_run(folder, "vaepipe", stage)[0] for stage in ("download", "convert", "split")]
    _run(folder, "vaepipe", "classifier")
    trainings = []
    for _ in range(rounds):
        cost, said = _run(folder, "vaepipe", "train")
        trainings.append(cost.seconds - _epoch(folder, said))
        shutil.rmtree(folder / paths.runs())
    costs.append(Cost("vaepipe train, all but the epoch", statistics.median(trainings), cost.memory))
    costs.append(_run(folder, "vaepipe", "merge")[0])
    # As if DVC itself had run the stages.
    _run(folder, "dvc", "commit", "--force")
    idle = [_run(folder, "dvc", "repro")[0] for _ in range(rounds)]
    median = statistics.median(cost.seconds for cost in idle)
    return [*costs, Cost("dvc repro with nothing to do", median, idle[0].memory)]


# Runs a command and says its seconds and kilobytes. A small process, since until a new one loads its program
# it counts the memory of the one that it was forked from.
CLOCK = """
import resource, subprocess, sys, time
started = time.perf_counter()
status = subprocess.run(sys.argv[1:], stderr=subprocess.STDOUT).returncode
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def _run(folder: Path, program: str, *command: str) -> tuple[Cost, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-c", CLOCK, str(Path(sys.executable).with_name(program)), *command],
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{program} {command[0]} failed in {folder}: {done.stdout}")
    said, _, figures = done.stdout.rstrip().rpartition("\n")
    seconds, kilobytes = figures.split()
    return Cost(f"{program} {command[0]}", float(seconds), int(kilobytes) * 1024), said


def _epoch(folder: Path, said: str) -> float:
    """Seconds of the slowest component's epoch, from its last line."""
    speeds = [float(number.replace(",", "")) for number in re.findall(r"([\d,]+) images/s", said)]
    with h5py.File(folder / paths.channel("red")) as file:
        images = len(file["train/images"])
    return images / min(speeds)
