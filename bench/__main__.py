"""Speed of the engine beside others, and costs of the pipeline besides:

    python -m bench [--rounds 3] [--only one-core all-channels] [--device cuda] [--json docs/benchmarks.json]

All fit the paper's model, 1024-500-500-20, to channels of generated house numbers, as many as SVHN has: one
channel on one core, and three on all cores, where the engine is placed as `vaepipe train` places it, and each
peer in the better of its ways. Entrants take turns; figures are medians of the rounds. The cost of each is
held to the engine's: who trains something else ends the run. Who is not installed is left out. Where
vaepipe's other packages are not there (torch, numpy and safetensors are enough), the images are noise and the
pipeline's own costs are left out.
"""

import argparse
import importlib.util
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench import contest, field, figures, processor, race
from bench.contest import Row

SVHN = 73_257  # training images
BATCHES = (100, 1000)
SETTINGS = {"one-core": field.ONE_CORE, "all-channels": field.ALL_CHANNELS}
PARTS = (*SETTINGS, "pipeline", "trials")


def pictures(count: int) -> np.ndarray:
    """The training images, (3, count, D) uint8."""
    if importlib.util.find_spec("scipy"):
        from pipeline.data.synthetic import crops

        images, _ = crops.generate(count, seed=0, split="train")
        return np.ascontiguousarray(images.reshape(count, 3, -1).transpose(1, 0, 2))
    print("vaepipe's other packages are not here: noise for images")
    return np.random.default_rng(0).integers(0, 256, (3, count, 1024), np.uint8)


def entering(kinds: Sequence[str], device: str) -> list[str]:
    """Those that can, each of the others with a line that says why not."""
    able = []
    for kind in kinds:
        why = "it is measured on CPUs alone" if (kind, device) == ("jax", "cuda") else field.absent(kind)
        if why:
            print(f"left out: {field.name(kind)}: {why}", flush=True)
        else:
            able.append(kind)
    return able


def train(
    settings: Sequence[str], kinds: Sequence[str], images: str, arguments: argparse.Namespace
) -> list[Row]:
    """Medians of all entrants' rates in each setting, at each batch size."""
    print(
        f"\n{'setting':<26}{'entrant':<20}{'way':<26}{'batch':>6}{'images':>8}{'channel-images/s':>18}"
        f"{'vaepipe is':>12}{'cost':>9}{'start, s':>10}{'peak MiB':>10}"
    )
    rows = []
    for batch_size in (size for size in BATCHES if size <= arguments.images):
        fields = {
            setting: field.field(setting, kinds, images, arguments.images, batch_size, arguments.epochs)
            for setting in settings
        }
        jobs = [job for entrants in fields.values() for job in field.jobs(entrants)]
        expected = contest.references(
            field.reference(jobs[0]), sorted({job.count for job in jobs}), race.race
        )
        for setting, entrants in fields.items():
            found = contest.contest(setting, entrants, arguments.rounds, expected, race.race)
            for row in found:
                show(row, found)
            rows += found
    return rows


def show(row: Row, rows: Sequence[Row]) -> None:
    """A line of the table."""
    own = [other.images_per_second for other in rows if other.entrant.startswith("vaepipe")]
    times = f"{own[0] / row.images_per_second:.2f} x" if own else ""
    print(
        f"{row.setting:<26}{row.entrant:<20}{row.way:<26}{row.batch_size:>6,}{row.images:>8,}"
        f"{row.images_per_second:>18,.0f}{times:>12}{row.cost:>9.2f}{row.start or '':>10.3}"
        f"{row.memory / 2**20:>10,.0f}",
        flush=True,
    )


def pipeline(rounds: int) -> list[dict[str, Any]]:
    """Costs of the stages."""
    from bench import pipeline_costs

    print(f"\n{'full-size data':<36}{'seconds':>8}{'peak MiB':>10}")
    with tempfile.TemporaryDirectory(prefix="vaepipe-bench-") as folder:
        costs = pipeline_costs.measure(Path(folder) / "workspace", rounds)
    for cost in costs:
        print(f"{cost.name:<36}{cost.seconds:>8.2f}{cost.memory / 2**20:>10,.0f}", flush=True)
    return [asdict(cost) for cost in costs]


def at_once(rounds: int) -> list[dict[str, Any]]:
    """Costs of trials."""
    from bench import trials

    print(f"\n{trials.WHAT:<36}{'seconds':>8}{'ratio':>10}")
    rows = trials.measure(rounds)
    for row in rows:
        print(f"{row.name:<36}{row.seconds:>8.2f}{row.ratio:>10.3f}", flush=True)
    return [asdict(row) for row in rows]


def asked() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1, help="that are timed; one more goes before")
    parser.add_argument("--images", type=int, default=SVHN, help="of each channel")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts of the whole")
    parser.add_argument("--entrants", nargs="+", choices=field.KINDS, default=field.KINDS)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, help="put the figures there, for those of this processor")
    arguments = parser.parse_args()
    if arguments.json and set(arguments.entrants) != set(field.KINDS):
        parser.error("--json keeps whole tables: leave out --entrants")
    if arguments.images < BATCHES[0]:
        parser.error(f"--images: a batch has {BATCHES[0]}")
    return arguments


def main() -> None:
    """Measure, and print the tables."""
    arguments = asked()
    described = processor.machine(arguments.device)
    print(f"{described}; medians of {arguments.rounds} rounds", flush=True)

    def keep(**part: Any) -> None:
        """At once: what is measured after it takes many minutes."""
        if arguments.json:
            table = {"machine": described, **part}
            figures.write(arguments.json, processor.here(arguments.device), table)

    settings = [SETTINGS[part] for part in arguments.only if part in SETTINGS]
    if settings and arguments.device == "cuda":
        settings = [field.ON_GPU]
    elif field.ONE_CORE in settings and not hasattr(os, "sched_setaffinity"):
        print(f"left out: {field.ONE_CORE}: this system holds no process to a core", flush=True)
        settings.remove(field.ONE_CORE)
    if settings:
        kinds = entering(arguments.entrants, arguments.device)
        with tempfile.TemporaryDirectory(prefix="vaepipe-bench-") as folder:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # so that compiling is timed, not finding
            file = Path(folder) / "images.npy"
            np.save(file, pictures(arguments.images))
            rows = train(settings, kinds, str(file), arguments)
        keep(rounds=arguments.rounds, rows=[asdict(row) for row in rows])
    if all(map(importlib.util.find_spec, ("dvc", "ray"))):
        if "pipeline" in arguments.only:
            keep(costs=pipeline(arguments.rounds))
        if "trials" in arguments.only:
            keep(trials=at_once(arguments.rounds))


if __name__ == "__main__":
    main()
