"""Options of `train`, `study` and `tune` that say where to compute, and their defaults.

They are no part of an experiment: the answer is the same, up to rounding, and DVC does not see them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Compute:
    """The machines to use, and how their failures are met."""

    gpus: int | None = None  # None: as many as are of use, else the CPU
    workers: int | None = None  # processes on CPUs; None: see those who use it
    storage: str | None = None  # for checkpoints; None: the workspace's own folder
    address: str | None = None  # of a Ray cluster; None: Ray is started here
    max_failures: int = 3  # times that what failed is tried again
    checkpoint_seconds: float = 15.0  # between two checkpoints: twice what a kill costs on average
