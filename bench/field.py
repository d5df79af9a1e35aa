"""Who enters, and how each is placed on the machine.

A setting is a name, and a placement the processes that an entrant is given there. A peer has several ways to
use two cores; all are tried, and the better one counts.
"""

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench import processor
from bench.entrant import Job

ONE_CORE, ALL_CHANNELS, ON_GPU = "one channel, one core", "three channels, all cores", "three channels, GPU"
COMPONENTS = (0, 1, 2)
ALONE = "1 thread"
SHARE = 3  # entrants that leave most of their time to the DataLoader train so much less of the images
SHORTENED = ("textbook", "pythae")
LIBRARIES = {"jax": "JAX", "pythae": "pythae"}  # packages, and what they call themselves
KINDS = ("engine", "textbook", "pythae", "fused", "compiled", "jax")
Ways = dict[str, list[Job]]


def name(kind: str, precision: str = "fp32") -> str:
    """What tables call an entrant."""
    if kind == "engine":
        return "vaepipe" if precision == "fp32" else f"vaepipe, {precision}"
    if kind in ("fused", "compiled"):
        return f"textbook, {kind}"
    if kind in LIBRARIES:
        return f"{LIBRARIES[kind]} {processor.installed(kind) or ''}".rstrip()
    return kind


def absent(kind: str) -> str | None:
    """Why an entrant cannot enter here, in a few words; None: it can."""
    if kind in LIBRARIES and not importlib.util.find_spec(kind):
        return f"{kind} is not installed"
    if kind == "compiled":
        compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
        if not shutil.which(compiler):
            return f"there is no C++ compiler {compiler}, which torch.compile needs"
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            return "Python.h is not there, which torch.compile needs"
    return None


def field(
    setting: str, kinds: Sequence[str], images: str, count: int, batch_size: int, epochs: int
) -> dict[str, Ways]:
    """The ways of each entrant that is tried in a setting, by its name in tables."""
    found: dict[str, Ways] = {}
    for kind in kinds:
        part = max(batch_size, count // SHARE) if kind in SHORTENED else count
        device = "cuda" if setting == ON_GPU else "cpu"
        job = Job(kind, images, part, COMPONENTS[:1], batch_size, epochs, device, threads=1)
        if kind != "engine":
            found[name(kind)] = peer(setting, job)
            continue
        for precision in ("fp32", "tf32", "bf16") if setting == ON_GPU else ("fp32", "bf16"):
            found[name(kind, precision)] = engine(setting, replace(job, precision=precision))
    return found


def jobs(entrants: Mapping[str, Ways]) -> list[Job]:
    """Every process of every way."""
    return [job for ways in entrants.values() for way in ways.values() for job in way]


def reference(job: Job) -> list[Job]:
    """The engine's processes with a job's images and batches: what others' costs are held to."""
    setting = ON_GPU if job.device == "cuda" else ALL_CHANNELS
    [way] = engine(setting, replace(job, kind="engine", threads=1, cores=(), precision="fp32")).values()
    return way


def engine(setting: str, job: Job) -> Ways:
    """As `vaepipe train` places it: without a GPU a process of one thread for each channel."""
    if setting == ONE_CORE:
        return {ALONE: [replace(job, cores=processor.cores()[-1:])]}
    if setting == ON_GPU:
        return {"one stack": [replace(job, components=COMPONENTS, threads=0)]}
    return {"a process a channel": [replace(job, components=(c,)) for c in COMPONENTS]}


def peer(setting: str, job: Job) -> Ways:
    """The channels are alike, so that of those trained in turn one is timed.

    Side by side there are as many as there are cores, each held to its own: no core waits for the last one.
    """
    cores = processor.cores()
    if setting == ONE_CORE:
        return {ALONE: [replace(job, cores=cores[-1:])]}
    if setting == ON_GPU:
        return {"in turn": [replace(job, threads=0)]}
    ways = {f"in turn, {len(cores)} threads": [replace(job, threads=len(cores))]}
    if len(cores) > 1:
        side = [
            replace(job, components=(c,), cores=(core,)) for c, core in zip(COMPONENTS, cores, strict=False)
        ]
        ways[f"{len(side)} processes of 1 thread"] = side
    return ways
