"""Runs on disk: their names, their locks, and what they leave.

A run is named by a hash of everything that shapes its result, so a changed parameter, changed data or
changed mathematics never goes on from a stale checkpoint, and an unchanged experiment always does.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np

import vae
from pipeline import layout, locks
from pipeline.errors import PipelineError
from vae.config import ModelConfig, TrainConfig

# Epochs are no part of the name: raising them goes on from where the run stopped.
NOT_SHAPING = {"epochs"}


def run_hash(
    images: Mapping[str, np.ndarray],
    validation: Mapping[str, np.ndarray],
    model: ModelConfig,
    train: TrainConfig,
) -> str:
    """16 hexadecimal digits, a function of the pixels, the parameters and the source of `vae`."""
    digest = hashlib.blake2b(digest_size=8)
    for name, arrays in (("train", images), ("validation", validation)):
        for component, pixels in arrays.items():
            digest.update(f"{name} {component} {pixels.shape}".encode())
            digest.update(np.ascontiguousarray(pixels).data)
    shaping = {k: v for k, v in asdict(train).items() if k not in NOT_SHAPING}
    digest.update(json.dumps([asdict(model), shaping], sort_keys=True).encode())
    for source in sorted(Path(vae.__file__).parent.glob("*.py")):
        digest.update(source.name.encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()


@contextmanager
def hold(name: str) -> Iterator[None]:
    """Hold a run: no other process on this machine trains it meanwhile.

    Raises:
        PipelineError: another process holds it; the message names it. That may be one that a killed `dvc`
            left behind.
    """

    def refuse(holder: str) -> None:
        raise PipelineError(
            f"run {name} is being trained by {holder}; wait for it, or end it and run the command again"
        )

    with locks.hold(layout.RUNS / name, refuse):
        yield
