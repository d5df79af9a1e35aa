"""Profile of a step: where its time goes, and what a matrix product costs by torch's two libraries:

    python -m bench.profile_step [--batch 100] [--steps 300]

One engine rank on one thread of the CPU, the paper's model, noise for images.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch.profiler import ProfilerActivity, profile

from bench.processor import machine
from vae import randomness
from vae.config import PAPER_MODEL, PAPER_TRAIN, Sizes
from vae.products import onednn
from vae.stack import Stack, initial_state
from vae.step import ALONE, Step

SIZES = Sizes((1, 32, 32))
ROUNDS = 5

# What torch's operators are there for.
KINDS = {
    "matrix products": ("mkldnn::_linear_pointwise", "aten::mm", "aten::bmm", "aten::baddbmm"),
    "Adam": ("aten::_fused_adam_", "aten::_foreach_add_"),
    "softplus and its derivative": ("aten::softplus", "aten::softplus_backward"),
    "cross-entropy and other arithmetic, element by element": (
        *("aten::addcmul", "aten::exp", "aten::expm1", "aten::add", "aten::add_", "aten::sub", "aten::mul"),
    ),
    "sums over a batch or over pixels": ("aten::sum",),
    "images chosen and made numbers; copies": (
        *("aten::index_select", "aten::index_copy_", "aten::copy_", "aten::div", "aten::cat"),
    ),
}
REST = "Python, views, memory"


def seconds(work: Callable[[], object]) -> float:
    """The median of some rounds, after one that does not count."""
    work()
    found = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def shares(batch_size: int, steps: int) -> None:
    """Print which operations the time of a step goes to, in shares of it."""
    images = torch.randint(256, (1, steps * batch_size, SIZES.pixels), dtype=torch.uint8)
    config = replace(PAPER_TRAIN, batch_size=batch_size)
    state = initial_state("red", images[0], SIZES, PAPER_MODEL, seed=0)
    step = Step(Stack([state], torch.device("cpu")), images, None, config, ALONE)
    numbers = randomness.draw_epoch(config, ("red",), 1, images.shape[1], PAPER_MODEL.latent)
    whole = seconds(lambda: step.run(1, numbers)) / steps * 1e6
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        step.run(1, numbers)
    spent = {event.key: event.self_cpu_time_total / steps for event in recorded.key_averages()}
    found = {name: sum(spent.get(operator, 0) for operator in operators) for name, operators in KINDS.items()}
    # Hundreds of small operators are slowed by being recorded, those above hardly: so not from the record.
    found[REST] = whole - sum(found.values())
    print(f"a step of {batch_size} images: {whole:,.0f} µs, {batch_size / whole * 1e6:,.0f} images/s")
    for name, microseconds in sorted(found.items(), key=lambda item: -item[1]):
        print(f"{microseconds:8,.0f} µs {microseconds / whole:6.1%}  {name}")


def products(batch_size: int) -> None:
    """Time the matrix products of a step, each twice: by oneDNN as vae.layers calls it, and by torch.mm."""
    (m, n), latent, pixels = PAPER_MODEL.hidden, PAPER_MODEL.latent, SIZES.pixels
    layers = [(pixels, m), (m, n), (n, latent), (n, latent), (latent, n), (n, m), (m, pixels)]
    mine: list[Callable[[], object]] = []
    torchs: list[Callable[[], object]] = []
    work = 0
    for number, (inputs, outputs) in enumerate(layers):
        x, w, g = torch.rand(batch_size, inputs), torch.rand(inputs, outputs), torch.rand(batch_size, outputs)
        pairs = [(x, w.t()), (x.t(), g.t()), (g, w)]
        # Nobody asks for the gradient of the pixels.
        for a, b in pairs[: 2 if number == 0 else 3]:
            work += 2 * a.shape[0] * a.shape[1] * b.shape[0]
            mine.append(lambda a=a, b=b: onednn(a, b.t()))  # type: ignore[misc]
            torchs.append(lambda a=a, b=b: torch.mm(a, b.t()))  # type: ignore[misc]
    for name, calls in (("oneDNN", mine), ("torch.mm", torchs)):
        each = seconds(lambda calls=calls: [call() for _ in range(50) for call in calls]) / 50  # type: ignore[misc]
        print(f"products of a step by {name}: {each * 1e6:,.0f} µs, {work / each / 1e9:,.0f} GFLOP/s")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--steps", type=int, default=300)
    arguments = parser.parse_args()
    print(machine("cpu"))
    torch.set_num_threads(1)
    with torch.no_grad():
        products(arguments.batch)
    shares(arguments.batch, arguments.steps)


if __name__ == "__main__":
    main()
