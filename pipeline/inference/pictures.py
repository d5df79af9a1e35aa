"""`vaepipe reconstruct`, `sample` and `interpolate`: what models make, as a picture."""

from pathlib import Path

import numpy as np

from pipeline.inference import grids
from pipeline.inference.inputs import Source
from vae.images import to_bytes
from vae.pretrained import Autoencoder


def reconstructions(source: Source, labels: np.ndarray | None, model: Autoencoder, path: Path) -> None:
    """Write pictures, each above its reconstruction."""
    both = [
        (images, to_bytes(model.reconstruct(images, labels_N)))
        for _, images, labels_N in source.batches(labels)
    ]
    images, found = (np.concatenate(parts) for parts in zip(*both, strict=True))
    columns = grids.columns(len(images), high=2)
    pairs = zip(grids.rows(images, columns), grids.rows(found, columns), strict=True)
    tiles = [row for pair in pairs for row in pair]
    grids.write(path, tiles, after_rows=range(1, len(tiles) - 1, 2))


def samples(model: Autoencoder, count: int, seed: int, label: int | None, path: Path) -> None:
    """Write draws from the prior; of a conditional model without a label a column for each class."""
    labels, columns = None, grids.columns(count)
    if label is not None:
        labels = np.full(count, label)
    elif model.classes:
        labels = np.arange(count) % model.classes
        columns = min(model.classes, count)
    drawn = to_bytes(model.sample(count, seed, labels))
    grids.write(path, grids.rows(drawn, columns))


def interpolation(
    source: Source, labels: np.ndarray | None, model: Autoencoder, steps: int, path: Path
) -> None:
    """Write the interpolation of two pictures as a row: the first, as many steps, the second."""
    images = np.concatenate(list(source.blocks()))
    first, last = model.encode(images, labels)
    label = None if labels is None else int(labels[0])
    found = to_bytes(model.interpolate(first, last, steps, label))
    row = np.concatenate([images[:1], found, images[1:]])
    grids.write(path, [row], after=[0, steps])
