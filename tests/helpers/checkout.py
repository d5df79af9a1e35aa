"""Where the checkout is, and what most tests need of it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from pipeline.experiment.params import Neighbours

ROOT = Path(__file__).parents[2]
CUT: tuple[int, float, Neighbours] = (32, 0.1, "hidden")  # of full numbers, where there are any
Vaepipe = Callable[..., subprocess.CompletedProcess[str]]  # runs the command line in the working directory
