"""How fast the engine trains, beside a textbook loop on the same machine in the same run.

    python -m bench [--images 20000] [--rounds 3]

Both fit the paper's model, 1024-500-500-20, to one channel of random pixels (the values do not matter to
the speed) on one thread, in turn; medians of the rounds. Needs torch and numpy alone.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import torch

from bench import textbook
from vae.config import ModelConfig, TrainConfig
from vae.fit import fit
from vae.stack import initial_state

PAPER = ModelConfig(latent=20, hidden=(500, 500), activation="softplus")
EPOCHS = 2  # the first is not counted


def engine(images: torch.Tensor, batch_size: int) -> float:
    """Seconds of the last epoch of `vae.fit`. images: (N, 1024) uint8."""
    config = TrainConfig(EPOCHS, batch_size, learning_rate=0.001, seed=0, precision="fp32")
    started = time.perf_counter()
    for _ in fit(images[None], [initial_state("red", images.shape[1], PAPER, seed=0)], config):
        seconds, started = time.perf_counter() - started, time.perf_counter()
    return seconds


def loop(images: torch.Tensor, batch_size: int) -> float:
    """Seconds of the last epoch of the textbook loop."""
    return textbook.fit(images, PAPER, EPOCHS, batch_size)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = torch.randint(0, 256, (arguments.images, 1024), dtype=torch.uint8)
    print(f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} cores, one thread; ", end="")
    print(f"{arguments.images:,} images of 1,024 pixels, median of {arguments.rounds} rounds")
    print(f"{'batch':>6}  {'textbook, images/s':>20}  {'vae.fit, images/s':>20}  {'ratio':>6}")
    for batch_size in (100, 1000):
        contenders: tuple[Callable[[torch.Tensor, int], float], ...] = (loop, engine)
        rounds = [[run(images, batch_size) for run in contenders] for _ in range(arguments.rounds)]
        slow, fast = (arguments.images / statistics.median(column) for column in zip(*rounds, strict=True))
        ratio = statistics.median(a / b for a, b in rounds)
        print(f"{batch_size:>6}  {slow:>20,.0f}  {fast:>20,.0f}  {ratio:>6.2f}")


if __name__ == "__main__":
    main()
