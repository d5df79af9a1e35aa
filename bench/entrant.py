"""One process that trains the paper's model and says how fast it was:

    python -m bench.entrant JOB    # in JSON

It says `ready`, waits for a line, trains, and says its Result in JSON. The engine and the textbook need
torch, numpy and safetensors alone.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vae.config import PAPER_MODEL, PAPER_TRAIN, Precision, Sizes
from vae.fit import fit
from vae.stack import initial_state


@dataclass(frozen=True)
class Job:
    """Settings of one process."""

    kind: str  # engine, textbook or pythae
    images: str  # an .npy file, (C, N, D) uint8
    components: tuple[int, ...]  # which of the C
    batch_size: int
    epochs: int  # that count; one more goes before
    device: str
    threads: int  # 0: as many as torch takes by itself
    precision: Precision = "fp32"


@dataclass(frozen=True)
class Result:
    """Measurements of one process."""

    images: int  # channel-images of the epochs that count
    seconds: float
    memory: int  # bytes: the most that was resident; on a GPU, the most that was allocated there
    costs: tuple[float, ...] = ()  # of the engine's last epoch, nats an image


def run(job: Job) -> Iterator[Result | None]:
    """None when all is ready, then the result."""
    if job.threads:
        torch.set_num_threads(job.threads)
    stored = np.load(job.images, mmap_mode="r")
    images = torch.from_numpy(np.stack([stored[c] for c in job.components]))
    yield None
    seconds, costs = (_engine if job.kind == "engine" else _peer)(job, images)
    if job.device == "cuda":
        memory = torch.cuda.max_memory_allocated()
    else:
        # In kilobytes, except on a Mac.
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
            1 if sys.platform == "darwin" else 1024
        )
    steps = images.shape[1] // job.batch_size * job.epochs
    yield Result(steps * job.batch_size * len(images), sum(seconds[1:]), memory, costs)


def _engine(job: Job, images: Tensor) -> tuple[list[float], tuple[float, ...]]:
    config = replace(PAPER_TRAIN, epochs=job.epochs + 1, batch_size=job.batch_size, precision=job.precision)
    sizes = Sizes((1, 32, 32))
    states = [
        initial_state(str(c), image, sizes, PAPER_MODEL, seed=0)
        for c, image in zip(job.components, images, strict=True)
    ]
    seconds: list[float] = []
    costs: tuple[float, ...] = ()
    started = time.perf_counter()
    for epoch in fit(images, states, config, device=job.device):
        seconds.append(time.perf_counter() - started)
        costs = tuple(record.cost for record in epoch.records)
        started = time.perf_counter()
    return seconds, costs


def _peer(job: Job, images: Tensor) -> tuple[list[float], tuple[float, ...]]:
    if job.kind == "textbook":
        from vae.accept.textbook import fit as fit_one
    else:
        from bench.pythae_loop import fit as fit_one
    channels = [fit_one(image, PAPER_MODEL, job.epochs + 1, job.batch_size, job.device) for image in images]
    return [sum(epoch) for epoch in zip(*channels, strict=True)], ()


if __name__ == "__main__":
    for said in run(Job(**json.loads(sys.argv[1]))):
        print("ready" if said is None else json.dumps(asdict(said)), flush=True)
        if said is None:
            sys.stdin.readline()
