"""Command line of the acceptance (see the package)."""

import argparse
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from vae import devices
from vae.accept import checks, figures
from vae.accept.findings import Findings

SVHN = 73_257  # training images of the official set


def main(arguments: list[str] | None = None) -> int:
    """Run the sections; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m vae.accept", description="Accept a device.")
    parser.add_argument("--device", default="cuda", help="such as cuda, cuda:1, mps or cpu")
    parser.add_argument("--json", type=Path, help="a file for what was found")
    parser.add_argument("--only", default="", help="sections, with commas between them; all by default")
    parser.add_argument("--seconds", type=float, default=480, help="no section is begun after them")
    parser.add_argument("--images", type=int, default=SVHN, help="of the figures' trainings")
    parser.add_argument("--compiled", action="store_true", help="also a textbook's step by torch.compile")
    given = parser.parse_args(arguments)
    try:
        device = devices.usable(given.device)
    except ValueError as error:
        parser.error(f"--device: {error}")
    found = Findings(given.json)
    sections: dict[str, Callable[[Findings, torch.device], None]] = {
        "machine": checks.machine,
        "recorded": checks.recorded_is_called,
        "cpu": checks.like_the_cpu,
        "precisions": checks.precisions,
        "repeatable": checks.repeatable,
        "resumed": checks.resumed,
        "surroundings": checks.surroundings,
        "left": checks.left_behind,
        "speed": partial(figures.speed, images=given.images),
        "peers": partial(figures.peers, images=given.images, compiled=given.compiled),
        "memory": partial(figures.memory, images=given.images),
    }
    chosen = given.only.split(",") if given.only else list(sections)
    if unknown := [name for name in chosen if name not in sections]:
        parser.error(f"--only {unknown[0]}: no such section; there are {', '.join(sections)}")
    for name in chosen:
        _run(name, sections[name], found, device, given.seconds)
        found.write()
    print(f"{len(found.failed)} of {len(found.found)} failed, {found.seconds:.0f} s")
    return 1 if found.failed else 0


def _run(
    name: str,
    section: Callable[[Findings, torch.device], None],
    found: Findings,
    device: torch.device,
    most: float,
) -> None:
    """One section; an error is a finding, and the others go on."""
    if found.seconds > most:
        found.add(name, None, why="out of time")
        return
    started = time.monotonic()
    try:
        section(found, device)
    except Exception as error:
        traceback.print_exc(limit=-4)
        found.add(name, False, error=f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}")
    print(f"      -- {name}: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
