"""Identity of training runs: the hash that names one, and the lock that one process holds.

A run is named by a hash of everything that shapes its result, so a changed parameter, changed data or
changed mathematics never goes on from a stale checkpoint, and an unchanged experiment always does.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, NoReturn

import numpy as np

from pipeline.common.errors import PipelineError
from pipeline.data.images import Images
from pipeline.experiment import stage_modules
from pipeline.runs import storage_lock
from pipeline.runs.storage_lock import Check
from vae.config import ModelConfig, TrainConfig


def run_hash(training: Images, held_out: Images, model: ModelConfig, train: TrainConfig) -> str:
    """16 hexadecimal digits, a function of the images, the parameters and the source that `vae.fit` runs."""
    digest = hashlib.blake2b(digest_size=8)
    for name, images in (("train", training), ("validation", held_out)):
        add_images(digest, name, images, labels=model.conditional)
    digest.update(json.dumps(result_params(model, train), sort_keys=True).encode())
    add_sources(digest, "vae.fit")
    return digest.hexdigest()


def result_params(model: ModelConfig, train: TrainConfig) -> list[dict[str, Any]]:
    """Parameters on which a run's result after a given epoch depends."""
    fitted = asdict(train)
    if not train.schedule_depends_on_epochs:
        # Raising them goes on from where the run stopped.
        del fitted["epochs"]
    return [asdict(model), fitted]


def add_images(digest: hashlib.blake2b, name: str, images: Images, *, labels: bool) -> None:
    """Add a set of images to a digest."""
    arrays = images.pixels
    if labels and images.labels is not None:
        arrays = arrays | {"labels": images.labels.astype(np.int64)}
        digest.update("".join(f"{name}\n" for name in images.classes).encode())
    for component, array in arrays.items():
        digest.update(f"{name} {component} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)


def add_sources(digest: hashlib.blake2b, *modules: str) -> None:
    """Add the source of modules, and of all of ours that they import, to a digest."""
    for name in sorted(set().union(*map(stage_modules.closure, modules))):
        digest.update(name.encode())
        digest.update(stage_modules.installed()[name].read_bytes())


@contextmanager
def locked(storage: str, name: str) -> Iterator[Check]:
    """Hold a run in its storage: no other process that shares it trains the run meanwhile.

    Yields a function that raises once the run is lost to another (see `storage_lock`).

    Raises:
        PipelineError: another process holds it; the message names it. That may be one that a killed `dvc`
            left behind.
    """

    def refuse(holder: str) -> NoReturn:
        raise PipelineError(
            f"run {name} is being trained by {holder}; wait for it, or end it and run the command again"
        )

    with storage_lock.locked(storage, name, refuse) as check:
        yield check
