"""Cost of Ray Tune to a study: six trials on all cores, beside the same six fits in one process.

    python -m bench.trials [--rounds 3]

The fits are those of `vaepipe study`, measured like its trials, on generated house numbers. One process runs
them one after another, with one thread and with as many as there are cores. Each round is a process of its
own for each entrant; ratios are to the faster of the two in the same round. Ray's start is not in the
figures, the start of its worker processes is.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.common import paths, process_exit
from pipeline.experiment import params, workspace
from pipeline.runs.checkpoints import Checkpoints
from pipeline.studies import run as study
from pipeline.trials import fitting, planning, studies_yaml, tuner
from pipeline.trials.dataset import TrialData
from pipeline.trials.fitting import SplitTensors, TrialTensors
from pipeline.trials.studies_yaml import Study
from pipeline.trials.tuner import TrialCompute
from vae.config import Sizes

WHAT = "six trials"
CHANGES: params.Changes = {
    "data": {"source": params.SYNTHETIC},
    "synthetic": {"train": 20_000, "test": 2_000},
    "train": {"epochs": 5},
}
SIX = Study("six", "", tuple({"train.seed": seed} for seed in range(6)))


@dataclass(frozen=True)
class Row:
    """An entrant's median over the rounds."""

    name: str
    seconds: float
    ratio: float  # to the faster process alone, in the same round


def measure(rounds: int) -> list[Row]:
    """Take the times, entrants in turn."""
    cores = os.cpu_count() or 1
    commands = {
        "one process, 1 thread": ["1"],
        f"one process, {cores} threads": [str(cores)],
        f"vaepipe study, {cores} at a time": ["study"],
    }
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="vaepipe-bench-") as folder:
        place = Path(folder) / "workspace"
        workspace.create(place, CHANGES, git=False)
        for stage in ("download", "convert", "split"):
            subprocess.run(
                [Path(sys.executable).with_name("vaepipe"), stage], cwd=place, check=True, capture_output=True
            )
        for _ in range(rounds):
            found.append({name: _seconds(place, arguments) for name, arguments in commands.items()})
    least = [min(list(times.values())[:2]) for times in found]
    return [
        Row(
            name,
            statistics.median(times[name] for times in found),
            statistics.median(each[name] / base for each, base in zip(found, least, strict=True)),
        )
        for name in commands
    ]


def _seconds(place: Path, arguments: list[str]) -> float:
    """An entrant's, in a process of its own that prints them last."""
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "bench.trials", "--contend", *arguments],
        cwd=place,
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"an entrant failed: {done.stderr}")
    return float(done.stdout.split()[-1])


def in_one_process(threads: int) -> float:
    """Seconds of the six fits, one after another."""
    torch.set_num_threads(threads)
    pictures = TrialData(studies_yaml.read_defaults())
    parts = {
        name: SplitTensors(torch.from_numpy(split.stack(paths.COLOURS)), split.side, None)
        for name, split in pictures.splits().items()
    }
    data = TrialTensors(
        paths.COLOURS,
        Sizes((1, *parts["training"].side)),
        parts["training"],
        parts["validation"],
        parts["test"],
    )
    jobs = planning.fits(pictures.plan(SIX))
    started = time.perf_counter()
    for job in jobs:
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(folder, job.key, data.components)
            for _ in fitting.train_and_measure(
                job, data, checkpoints, TrialCompute().checkpoint_seconds, "cpu"
            ):
                pass
    return time.perf_counter() - started


def under_tune() -> float:
    """Seconds of `vaepipe study`'s trials, from the moment that Tune gets them."""
    seconds = 0.0
    run = tuner.run

    def timed(*arguments: object, **options: object) -> None:
        nonlocal seconds
        started = time.perf_counter()
        run(*arguments, **options)  # type: ignore[arg-type]
        seconds = time.perf_counter() - started

    tuner.run = timed
    pictures = TrialData(studies_yaml.read_defaults())
    failed = study.train(pictures.plan(SIX), pictures, TrialCompute(), lambda: None)
    if failed:
        raise SystemExit(f"trials failed: {failed}")
    for path in paths.trials().glob("*.safetensors"):
        path.unlink()  # the next round's are to be trained
    return seconds


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contend", metavar="THREADS|study", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contend:
        seconds = under_tune() if arguments.contend == "study" else in_one_process(int(arguments.contend))
        print(seconds)
        process_exit.exit_now(0)  # Ray would take its time
    print(f"{WHAT:<36}{'seconds':>8}{'ratio':>10}")
    for row in measure(arguments.rounds):
        print(f"{row.name:<36}{row.seconds:>8.2f}{row.ratio:>10.3f}")


if __name__ == "__main__":
    main()
