"""Costs of a step at several batch sizes, alone and shared by two replicas, and the bytes between them:

    python -m bench.replicas [--steps 60] [--rounds 3] [--sides 32 64] [--batches 100 400] [--preset sharp]

One channel of a preset's model, the paper's unless told, on one thread; replicas have one thread each and
meet over gloo on loopback, as ranks do on CPU nodes. Noise for images: speed does not depend on them. The
bytes are those that the loopback interface counted, headers included, so nothing else should use it
meanwhile (Linux alone has the count).
"""

import argparse
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from bench.processor import machine
from pipeline.common import paths
from pipeline.experiment import params, presets
from vae import randomness
from vae.config import ModelConfig, Sizes, TrainConfig
from vae.stack import Stack, initial_state
from vae.step import ALONE, Replica, Step

REPLICAS = 2
SEPARATE = [name for name, preset in presets.PRESETS.items() if preset.model["channels"] == "separate"]


@dataclass(frozen=True)
class Row:
    """One batch size: medians over the rounds."""

    side: int  # pixels
    batch_size: int
    alone: float  # seconds of a step of one rank
    shared: float  # of the same step, shared by two
    exchange: float  # of the gradients' sum by itself
    sent: float  # bytes a step on the network
    weights: int  # bytes


class Rank:
    """One of two processes."""

    def __init__(self, rank: int, folder: str, preset: str) -> None:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=REPLICAS)
        self.rank = rank
        self.model, self.train = _of(preset)

    def rounds(self, side: int, batch_size: int, steps: int, rounds: int) -> Row:
        alone = self._step(side, batch_size, steps, ALONE)
        shared = self._step(side, batch_size, steps, Replica(self.rank, REPLICAS, dist.group.WORLD))
        gradients = [torch.zeros_like(p) for p in shared.stack.parameters]
        numbers = randomness.draw_epoch(
            replace(self.train, batch_size=batch_size), ("red",), 1, steps * batch_size, self.model.latent
        )

        def exchange() -> None:
            for _ in range(steps):
                shared.replica.sum(*gradients)

        found: dict[str, list[float]] = {name: [] for name in ("alone", "shared", "exchange", "sent")}
        for _ in range(rounds + 1):
            # The other one waits, so that a rank alone has the memory's whole bandwidth, too.
            dist.barrier()
            if self.rank == 0:
                found["alone"].append(_seconds(lambda: alone.run(1, numbers)) / steps)
            dist.barrier()
            before = _sent()
            found["shared"].append(_seconds(lambda: shared.run(1, numbers)) / steps)
            dist.barrier()
            found["sent"].append((_sent() - before) / steps)
            found["exchange"].append(_seconds(exchange) / steps)
        if self.rank:
            found["alone"] = [0.0, 0.0]
        middle = {name: statistics.median(times[1:]) for name, times in found.items()}
        return Row(side, batch_size, weights=sum(p.nbytes for p in shared.stack.parameters), **middle)

    def _step(self, side: int, batch_size: int, steps: int, replica: Replica) -> Step:
        sizes = Sizes((1, side, side))
        draw = torch.Generator().manual_seed(0)
        images = torch.randint(256, (1, steps * batch_size, sizes.pixels), dtype=torch.uint8, generator=draw)
        state = initial_state("red", images[0], sizes, self.model, seed=0)
        config = replace(self.train, batch_size=batch_size)
        return Step(Stack([state], torch.device("cpu")), images, None, config, replica)


def _of(preset: str) -> tuple[ModelConfig, TrainConfig]:
    """This checkout's params.yaml with a preset."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(shutil.copy(Path(__file__).parents[1] / paths.PARAMS, folder))
        params.change(path, presets.PRESETS[preset].changes())
        read = params.read(path)
    return read.model, read.train


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _sent() -> int:
    """Bytes that loopback has carried."""
    return int(Path("/sys/class/net/lo/statistics/tx_bytes").read_text())


def _work(
    number: int, folder: str, preset: str, steps: int, rounds: int, sides: list[int], batches: list[int]
) -> None:
    rank = Rank(number, folder, preset)
    for side in sides:
        for batch_size in batches:
            # Steps of large batches take longer: fewer do.
            row = rank.rounds(side, batch_size, max(5, steps * 100 // batch_size), rounds)
            if number == 0:
                print(
                    f"{row.side:>5}{row.batch_size:>7,}{row.alone * 1e3:>10.2f}{row.shared * 1e3:>10.2f}"
                    f"{row.alone / row.shared:>8.2f}{row.exchange * 1e3:>10.2f}"
                    f"{row.sent / 1e6:>10.2f}{row.weights / 1e6:>10.2f}",
                    flush=True,
                )
    dist.destroy_process_group()


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60, help="at batch 100; of larger batches fewer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64], help="pixels")
    parser.add_argument("--batches", type=int, nargs="+", default=[100, 200, 400, 1000, 4000])
    parser.add_argument("--preset", choices=SEPARATE, default="paper", help="of separate channels")
    arguments = parser.parse_args()
    print(f"{machine('cpu')}; medians of {arguments.rounds} rounds; times in ms, sizes in MB")
    titles = ("alone", "two", "ratio", "exchange", "sent", "weights")
    print(
        f"{'side':>5}{'batch':>7}{titles[0]:>10}{titles[1]:>10}{titles[2]:>8}"
        + "".join(f"{t:>10}" for t in titles[3:])
    )
    with tempfile.TemporaryDirectory(prefix="vaepipe-bench-") as folder:
        shared = (
            folder,
            arguments.preset,
            arguments.steps,
            arguments.rounds,
            arguments.sides,
            arguments.batches,
        )
        spawned = multiprocessing.get_context("spawn")
        ranks = [spawned.Process(target=_work, args=(n, *shared)) for n in range(REPLICAS)]
        for rank in ranks:
            rank.start()
        for rank in ranks:
            rank.join()
    if any(rank.exitcode for rank in ranks):
        raise SystemExit("a replica failed; what it said is above")


if __name__ == "__main__":
    main()
