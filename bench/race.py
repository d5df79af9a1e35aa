"""Processes that train side by side, and what came of them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from bench.entrant import Job, Result

# Told this, glibc keeps memory that is freed. Else it gives a step's gradients back to the system and fetches
# them again in the next, which takes a torch loop a fifth of its time (docs/benchmarks.md).
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "4000000000"}
ENVIRONMENT = {
    "fused": KEEPS_MEMORY,
    "compiled": KEEPS_MEMORY | {"TORCH_LOGS": "-dynamo"},  # which warns that it leaves Adam's profiler out
}


@dataclass(frozen=True)
class Measured:
    """One race."""

    speed: float  # channel-images a second, of all processes together
    memory: int  # bytes, of all processes together
    costs: Mapping[int, float]  # of each component, nats an image
    start: float  # seconds of compiling: the longest of the processes'


def race(jobs: Sequence[Job]) -> Measured:
    """Run processes side by side."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "bench.entrant", json.dumps(asdict(job))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ENVIRONMENT.get(job.kind, {}),
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
    return Measured(
        sum(result.images for result in results) / max(result.seconds for result in results),
        sum(result.memory for result in results),
        {
            component: cost
            for job, result in zip(jobs, results, strict=True)
            for component, cost in zip(job.components, result.costs, strict=True)
        },
        max(result.start for result in results),
    )
