"""Made-up photos of house numbers, in an archive like SVHN's format 1, where SVHN itself is not at hand.

A photo has one number of one to four digits in a face, on a plate on a wall, in uneven light and a little
noise. It is plainer than `synthetic`, whose crops are fitted to SVHN's: what it is for is the way from an
archive to crops.
"""

import io
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from gzip import GzipFile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from pipeline.data.svhn.archive import BOXES, Advance
from pipeline.data.svhn.digitstruct import Box
from pipeline.data.synthetic.crops import DIGITS, LENGTHS, THREADS
from pipeline.data.synthetic.glyphs import CELL, FACES, GLYPH, glyph_atlas

TOGETHER = 256  # photos drawn before they are written


@dataclass(frozen=True)
class Photo:
    """One of them."""

    png: bytes
    boxes: list[Box]


def write(path: Path, digits: int, *, seed: int, split: str, advance: Advance) -> None:
    """Draw photos that have so many digits together, and write them as an archive.

    Equal arguments give equal bytes on one machine. `advance` gets numbers of digits.
    """
    glyph_atlas()  # once, before the threads ask for it
    boxes: list[tuple[str, list[Box]]] = []
    with (
        path.open("wb") as file,
        GzipFile("", "wb", 1, file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for photo in _photos(digits, seed, split):
            name = f"{len(boxes) + 1}.png"
            boxes.append((name, photo.boxes))
            _add(archive, f"{split}/{name}", photo.png)
            advance(len(photo.boxes))
        _add(archive, f"{split}/{BOXES}", struct(boxes))


def _photos(digits: int, seed: int, split: str) -> Iterator[Photo]:
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(split.encode())))
    # Of numbers as SVHN has them, until there are so many digits.
    ends = rng.choice(np.arange(1, 5), digits, p=LENGTHS / LENGTHS.sum()).cumsum().clip(max=digits)
    lengths = [int(length) for length in np.diff(ends, prepend=0) if length]
    with ThreadPoolExecutor(THREADS, "draw") as pool:
        for start in range(0, len(lengths), TOGETHER):
            stop = min(start + TOGETHER, len(lengths))
            yield from pool.map(partial(draw, seed, split), range(start, stop), lengths[start:stop])


def draw(seed: int, split: str, number: int, length: int) -> Photo:
    """One photo, a function of its arguments."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*split.encode(), number)))
    atlas, labels = glyph_atlas(), rng.choice(10, length, p=DIGITS / DIGITS.sum())
    face = rng.choice(len(FACES), p=np.array(list(FACES.values())) / sum(FACES.values()))
    tall = rng.uniform(18, 60)
    gap, squeeze = rng.uniform(0.02, 0.15), rng.uniform(0.45, 0.75)
    widths = atlas.width[face, labels] * squeeze * tall
    steps = np.cumsum(widths + gap * tall) - gap * tall
    around = rng.uniform(0.3, 1.5, 4) * tall  # left, top, right, bottom of the number
    width, height = int(steps[-1] + around[0] + around[2]), int(tall + around[1] + around[3])
    y, x = np.mgrid[:height, :width].astype(np.float32)

    depth = np.full((height, width), -1.0, np.float32)  # in the ink, in pixels
    boxes = []
    for label, middle, wide in zip(labels, around[0] + steps - widths / 2, widths, strict=True):
        row = (y - around[1] - tall / 2) / tall * GLYPH + (CELL - 1) / 2
        column = (x - middle) / (squeeze * tall) * GLYPH + (CELL - 1) / 2
        inside = (row > 0) & (row < CELL - 1) & (column > 0) & (column < CELL - 1)
        cell = face * 10 + label
        near = map_coordinates(
            atlas.distance, [row + cell * CELL, column], np.float32, order=1, mode="nearest"
        )
        depth = np.maximum(depth, np.where(inside, near * tall, -1))
        left, top, wide, high = (round(float(edge)) for edge in (middle - wide / 2, around[1], wide, tall))
        boxes.append(Box(left, top, wide, high, float(label or 10)))
    return Photo(_png(_coloured(rng, depth, x / width, y / height)), boxes)


def _coloured(rng: np.random.Generator, depth: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ink on a plate on a wall, (H, W, 3) from 0 to 1; x and y from 0 to 1."""
    wall, plate = rng.uniform(0.15, 0.9, (2, 1)) + rng.normal(0, 0.06, (2, 3))
    ink = np.where(plate.mean() > 0.5, rng.uniform(0.0, 0.25), rng.uniform(0.75, 1.0)) + rng.normal(
        0, 0.05, 3
    )
    edge = rng.uniform(0.0, 0.12)
    on_plate = ((np.abs(x - 0.5) < 0.5 - edge) & (np.abs(y - 0.5) < 0.5 - edge))[..., None]
    cover = (depth + 0.5).clip(0, 1)[..., None]
    picture = np.where(on_plate, plate, wall) * (1 - cover) + ink * cover
    picture *= 1 + rng.normal(0, 0.15) * (x - 0.5)[..., None] + rng.normal(0, 0.1) * (y - 0.5)[..., None]
    soft = gaussian_filter(picture, (rng.uniform(0.4, 1.2),) * 2 + (0,))
    return soft + rng.normal(0, 0.01, (*x.shape, 1))


def _png(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8)).save(
        content, "PNG", compress_level=1
    )
    return content.getvalue()


def struct(photos: list[tuple[str, list[Box]]]) -> bytes:
    """A `digitStruct.mat` of these photos."""
    content = io.BytesIO()
    with h5py.File(content, "w", libver=("earliest", "v108")) as file:
        count = 0

        def refer(group: h5py.Group, value: Any) -> h5py.Reference:
            nonlocal count
            count += 1
            dataset = group.create_dataset(f"r{count}", data=value, track_times=False)
            return dataset.ref

        objects = file.create_group("#refs#")
        names: list[h5py.Reference] = []
        groups: list[h5py.Reference] = []
        for name, boxes in photos:
            names.append(refer(objects, np.array([[ord(letter)] for letter in name], np.uint16)))
            group = objects.create_group(f"b{len(groups)}")
            for field in ("height", "left", "label", "top", "width"):
                values = [np.array([[getattr(box, field)]]) for box in boxes]
                if len(values) > 1:
                    several = np.array([[refer(objects, value)] for value in values], h5py.ref_dtype)
                    group.create_dataset(field, data=several, dtype=h5py.ref_dtype, track_times=False)
                else:
                    group.create_dataset(field, data=values[0], track_times=False)
            groups.append(group.ref)
        top = file.create_group("digitStruct")
        for field, references in (("name", names), ("bbox", groups)):
            column = np.array(references, h5py.ref_dtype)[:, None]
            top.create_dataset(field, data=column, dtype=h5py.ref_dtype, track_times=False)
    return content.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
