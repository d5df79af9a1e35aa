"""One process that trains the paper's model and says how fast it was:

    python -m bench.entrant JOB    # in JSON

It says `ready`, waits for a line, trains, and says its Result in JSON. It is held to its cores before torch
or JAX is imported, since both start as many threads as they see cores.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass

from vae.config import Precision


@dataclass(frozen=True)
class Job:
    """Settings of one process."""

    kind: str  # one of bench.training.LOOPS
    images: str  # an .npy file, (C, N, D) uint8
    count: int  # how many of the N, the first ones
    components: tuple[int, ...]  # which of the C
    batch_size: int
    epochs: int  # that count; one more goes before
    device: str
    threads: int  # of torch; 0: as many as it takes by itself
    cores: tuple[int, ...] = ()  # that it is held to; none: to those that this process has
    precision: Precision = "fp32"  # of the engine


@dataclass(frozen=True)
class Result:
    """Measurements of one process."""

    images: int  # channel-images of the epochs that count
    seconds: float
    memory: int  # bytes: the most that was resident; on a GPU, the most that was allocated there
    costs: tuple[float, ...]  # of the last epoch, nats an image, one a component
    start: float  # seconds of the first component's compiling, before any epoch


def main() -> None:
    """Train one job."""
    given = json.loads(sys.argv[1])
    job = Job(**given | {"components": tuple(given["components"])})
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    from bench import training

    for said in training.run(job):
        print("ready" if said is None else json.dumps(asdict(said)), flush=True)
        if said is None:
            sys.stdin.readline()


if __name__ == "__main__":
    main()
