"""Speed of the engine on this machine, and the GPUs that torch sees. Runs in processes of its own:

    python -m pipeline.doctor.speed JOB    # in JSON

So one thread is one thread, ranks are measured side by side, and a torch that cannot even be imported is
somebody else's traceback.
"""

import dataclasses
import sys
import time
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter

from pipeline.common import paths
from pipeline.distributed import placement
from vae.config import ModelConfig, Sizes, TrainConfig

# Enough epochs that the clock ends the measurement.
ENDLESS = 100_000


@dataclass(frozen=True)
class SpeedTest:
    """Settings of a measurement by one process."""

    model: ModelConfig
    train: TrainConfig
    sizes: Sizes
    seconds: float
    first: bool  # only one process measures on a GPU


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch sees."""

    name: str
    memory: int  # bytes


@dataclass(frozen=True)
class SpeedResult:
    """The speed of one process, and the GPUs it saw."""

    device: Literal["cpu", "cuda"]
    stack: int  # models that were stepped together
    images_per_second: float  # of each of them; 0: not measured
    gpus: tuple[Gpu, ...]


def measure(test: SpeedTest) -> SpeedResult:
    """Fit random pixels for so many seconds, after a first epoch that does not count."""
    import torch

    torch.set_num_threads(1)
    found = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    gpus = tuple(Gpu(gpu.name, gpu.total_memory) for gpu in found)
    if not gpus:
        return SpeedResult("cpu", 1, _rate(test, 1, "cpu"), gpus)
    components = paths.components(test.model.channels)
    ranks = min(len(components), len(gpus))
    stack = max(len(share.components) for share in placement.plan(components, ranks).assignments)
    return SpeedResult("cuda", stack, _rate(test, stack, "cuda") if test.first else 0.0, gpus)


def _rate(test: SpeedTest, stack: int, device: Literal["cpu", "cuda"]) -> float:
    import torch

    from vae.fit import fit
    from vae.stack import initial_state

    # Epochs short enough for a clock of two seconds, long enough that an epoch's ends do not count.
    images = max(test.train.batch_size, 2_000 if device == "cpu" else 20_000)
    images -= images % test.train.batch_size
    pixels = torch.randint(0, 256, (stack, images, test.sizes.pixels), dtype=torch.uint8)
    labels = torch.randint(0, test.sizes.classes, (images,)) if test.sizes.classes else None
    states = [initial_state(str(c), pixels[c], test.sizes, test.model, seed=0) for c in range(stack)]
    # A usual step size: with a large one, noise diverges where house numbers would not.
    config = dataclasses.replace(test.train, epochs=ENDLESS, learning_rate=0.001)
    started = time.perf_counter()
    epochs = fit(pixels, states, config, labels_N=labels, device=device)
    next(epochs)
    warm = time.perf_counter()
    if device == "cpu" and warm - started >= test.seconds:
        # A large model: its first epoch is measurement enough. On CUDA that one is mostly libraries' start.
        return images / (warm - started)
    counted = 0
    while True:
        next(epochs)
        counted += 1
        if (seconds := time.perf_counter() - warm) >= test.seconds:
            return counted * images / seconds


if __name__ == "__main__":
    print(
        TypeAdapter(SpeedResult)
        .dump_json(measure(TypeAdapter(SpeedTest).validate_json(sys.argv[1])))
        .decode()
    )
