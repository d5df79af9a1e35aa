"""Speed of the engine beside two others, and costs of the pipeline besides:

    python -m bench [--rounds 3] [--epochs 1] [--device cuda] [--json FILE]

All fit the paper's model, 1024-500-500-20, to the three channels of generated house numbers, as many as SVHN
has: the engine as `vaepipe train` places it, the others as their documentation has it, one channel after
another on all cores. Entrants take turns; figures are medians of the rounds. Where vaepipe's other
packages are not installed (torch, numpy and safetensors are enough), the images are noise and the pipeline's
own costs are left out.
"""

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.entrant import Job, Result

SVHN = 73_257  # training images
BATCHES = (100, 1000)
COMPONENTS = (0, 1, 2)


@dataclass(frozen=True)
class Row:
    """An entrant's median over the rounds, at one batch size."""

    entrant: str
    batch_size: int
    images_per_second: float
    memory: int  # bytes, of all its processes together
    costs: tuple[float, ...]


def race(jobs: Sequence[Job]) -> tuple[float, int, tuple[float, ...]]:
    """Run processes side by side; channel-images a second of all, their memory, their costs."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.entrant", json.dumps(asdict(job))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for job in jobs
    ]
    for process in processes:
        assert process.stdout
        if process.stdout.readline() != "ready\n":
            raise SystemExit("an entrant failed; what it said is above")
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    results = []
    for process in processes:
        said, _ = process.communicate()
        if process.returncode:
            raise SystemExit("an entrant failed; what it said is above")
        results.append(Result(**json.loads(said)))
    speed = sum(result.images for result in results) / max(result.seconds for result in results)
    costs = tuple(cost for result in results for cost in result.costs)
    return speed, sum(result.memory for result in results), costs


def entrants(images: str, batch_size: int, epochs: int, device: str) -> dict[str, list[Job]]:
    """Processes of each entrant, by name."""
    # The others do the same to each channel in turn: one is timed.
    peer = Job("textbook", images, COMPONENTS[:1], batch_size, epochs, device, threads=0)
    jobs = {"textbook": [peer]}
    if importlib.util.find_spec("pythae"):
        jobs["pythae 0.1.2"] = [replace(peer, kind="pythae")]
    stack = replace(peer, kind="engine", components=COMPONENTS)
    if device == "cpu":
        ranks = [replace(stack, components=(c,), threads=1) for c in COMPONENTS]
        jobs |= {"vaepipe": ranks, "vaepipe, bf16": [replace(rank, precision="bf16") for rank in ranks]}
    else:
        jobs |= {f"vaepipe, {p}": [replace(stack, precision=p)] for p in ("fp32", "tf32", "bf16")}
    return jobs


def train(images: str, rounds: int, epochs: int, device: str) -> list[Row]:
    """Medians of all entrants' rates at each batch size, in channel-images a second."""
    rows = []
    for batch_size in BATCHES:
        field = entrants(images, batch_size, epochs, device)
        results = [{name: race(jobs) for name, jobs in field.items()} for _ in range(rounds)]
        for name in field:
            speeds, memories, costs = zip(*(round_[name] for round_ in results), strict=True)
            row = Row(name, batch_size, statistics.median(speeds), statistics.median(memories), costs[0])
            rows.append(row)
            base = next(r for r in rows if (r.entrant, r.batch_size) == ("textbook", batch_size))
            print(
                f"{name:<16}{batch_size:>7,}{row.images_per_second:>20,.0f}"
                f"{row.images_per_second / base.images_per_second:>12.2f}{row.memory / 2**20:>14,.0f}"
                + "".join(f"  {cost:.2f}" for cost in row.costs),
                flush=True,
            )
    return rows


def _trials(rounds: int) -> list[Any]:
    from bench import trials

    print(f"\n{trials.WHAT:<36}{'seconds':>8}{'ratio':>10}")
    rows = trials.measure(rounds)
    for row in rows:
        print(f"{row.name:<36}{row.seconds:>8.2f}{row.ratio:>10.3f}", flush=True)
    return rows


def machine(device: str) -> str:
    """The processor, or the GPU, that is measured, and its number of cores."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(": ")[2] if names else model
    gpu = f"{torch.cuda.get_device_name()}, " if device == "cuda" else ""
    cores = torch.get_num_threads()
    return f"{gpu}{model}, {cores} cores, torch {torch.__version__}, Python {platform.python_version()}"


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1, help="that are timed; one more goes before")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    arguments = parser.parse_args()
    described = machine(arguments.device)
    print(f"{described}; medians of {arguments.rounds} rounds", flush=True)
    with tempfile.TemporaryDirectory(prefix="vaepipe-bench-") as folder:
        costs = []
        if all(map(importlib.util.find_spec, ("dvc", "ray"))):
            from bench import pipeline_costs

            print(f"\n{'full-size data':<36}{'seconds':>8}{'peak MiB':>10}")
            costs = pipeline_costs.measure(Path(folder) / "workspace", arguments.rounds)
            for cost in costs:
                print(f"{cost.name:<36}{cost.seconds:>8.2f}{cost.memory / 2**20:>10,.0f}", flush=True)
            images = pipeline_costs.channels(Path(folder) / "workspace")
        else:
            print("vaepipe's other packages are not here: noise for images, and no pipeline")
            images = np.random.default_rng(0).integers(0, 256, (3, SVHN, 1024), np.uint8)
        trials = _trials(arguments.rounds) if costs else []
        file = Path(folder) / "images.npy"
        np.save(file, images)
        print(f"\n{'entrant':<16}{'batch':>7}{'channel-images/s':>20}{'x textbook':>12}{'peak MiB':>14}")
        rows = train(str(file), arguments.rounds, arguments.epochs, arguments.device)
    if arguments.json:
        figures = {
            "machine": described,
            "costs": [vars(c) for c in costs],
            "trials": [vars(t) for t in trials],
            "rows": [vars(r) for r in rows],
        }
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
