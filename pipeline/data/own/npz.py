"""A user's images in one NumPy file, as RGB images of one size, in the store's layout.

`images` is (N, H, W) or (N, H, W, 1, 3 or 4) uint8, and `labels`, if there are any, (N,) whole numbers; or
`train_images`, `test_images`, and `train_labels`, `test_labels`. Other arrays are not read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError, one_line, printable
from pipeline.common.image_limits import LEAST_SIDE, MOST_SIDE
from pipeline.common.progress import bar
from pipeline.data import store
from pipeline.data.own import holdout
from pipeline.data.own.pictures import BLOCK, as_array

TRAIN, TEST = paths.SPLITS[:2]
KEYS = "images (and labels), or train_images and test_images (and train_labels, test_labels)"
KEYS_IN_SPLITS = ("train_images", "train_labels", "test_images", "test_labels")
MOST_LABEL = 2**16 - 1


@dataclass(frozen=True)
class Part:
    """One split: some images of an array, in an order."""

    images: np.ndarray  # (N, H, W) or (N, H, W, 1, 3 or 4) uint8
    labels: np.ndarray | None  # of the same images
    order: np.ndarray  # (n,) indices into both


def write(path: Path, source: Path, size: int | None, test: float) -> None:
    """Write the file's images of each split, `size` pixels a side, or as they are if that is None.

    The whole of `images` is divided: `test` is the share of the test split. Training images with labels are
    mixed (see `shares`); `test_images` keep their order.

    Raises:
        PipelineError: the file is damaged, or not of this layout. Nothing is written then.
    """
    parts = _parts(source, size, test)
    provenance = store.Provenance(printable(source.name), source.stat().st_size, files.md5(source))
    with store.create(path) as file:
        for split, part in parts.items():
            height, width = (size, size) if size else part.images.shape[1:3]
            labels = None if part.labels is None else part.labels[part.order]
            images = file.create(split, (len(part.order), 3, height, width), labels, provenance)
            with bar(f"read {split}", len(part.order), "images") as advance:
                for start in range(0, len(part.order), BLOCK):
                    block = part.images[part.order[start : start + BLOCK]]
                    images[start : start + len(block)] = [as_array(Image.fromarray(x), size) for x in block]
                    advance(len(block))


def _parts(source: Path, size: int | None, test: float) -> dict[str, Part]:
    arrays = _read(source)
    if "images" in arrays:
        images, labels = _checked(source, arrays, "", size)
        if len(images) < 2:
            raise PipelineError(
                f"{printable(source)}: one image; expected at least 2: to train on, and to test on"
            )
        order = _order(images, labels)
        start = len(images) - holdout.held_out_count(len(images), test)
        return {TRAIN: Part(images, labels, order[:start]), TEST: Part(images, labels, order[start:])}
    train, train_labels = _checked(source, arrays, f"{TRAIN}_", size)
    held, held_labels = _checked(source, arrays, f"{TEST}_", size)
    if not size and train.shape[1:3] != held.shape[1:3]:
        raise PipelineError(
            f"{printable(source)}: train_images of {_sides(train)} pixels and test_images of {_sides(held)}; "
            f"expected one size, as {paths.PARAMS}: data.size is null; set data.size to make them equal"
        )
    return {
        TRAIN: Part(train, train_labels, _order(train, train_labels)),
        TEST: Part(held, held_labels, np.arange(len(held))),
    }


def _order(images: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    return np.arange(len(images)) if labels is None else holdout.interleave_classes(labels)


def _read(source: Path) -> dict[str, np.ndarray]:
    try:
        loaded = np.load(source, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            raise ValueError("one array, as numpy.save writes it")
        with loaded as arrays:
            wanted = ("images", "labels") if "images" in arrays else KEYS_IN_SPLITS
            read = {key: arrays[key] for key in wanted if key in arrays}
            names = list(arrays)
    except OSError as error:
        raise PipelineError(f"{printable(source)}: cannot be read: {error.strerror or error}") from None
    # Damaged, pickled or encrypted files lead to BadZipFile, zlib.error, ValueError, RuntimeError...
    except Exception as error:
        reason = one_line(error)
        raise PipelineError(
            f"{printable(source)}: not a whole .npz file of plain arrays ({printable(reason)}); "
            "write it again with numpy.savez"
        ) from None
    if not {"images"} <= read.keys() and not {"train_images", "test_images"} <= read.keys():
        raise PipelineError(
            f"{printable(source)}: expected the arrays {KEYS}; found {printable(', '.join(names) or 'none')}"
        )
    return read


def _checked(
    source: Path, arrays: Mapping[str, np.ndarray], prefix: str, size: int | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The images, without an axis of one channel, and the labels, in the type that they are stored in."""
    images, labels = arrays[f"{prefix}images"], arrays.get(f"{prefix}labels")
    where = f"{printable(source)}: {prefix}images"
    channels = images.shape[3:]
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or channels not in ((), (1,), (3,), (4,)):
        raise PipelineError(
            f"{where} should be (N, H, W) or (N, H, W, 1, 3 or 4) uint8, 0 to 255; "
            f"found {images.shape} {images.dtype}"
        )
    if not images.size:
        raise PipelineError(f"{where} should hold images; found {images.shape}")
    if not size and not LEAST_SIDE <= min(images.shape[1:3]) <= max(images.shape[1:3]) <= MOST_SIDE:
        raise PipelineError(
            f"{where} are of {_sides(images)} pixels, but as {paths.PARAMS}: data.size is null, "
            f"a side must be from {LEAST_SIDE} to {MOST_SIDE}; set data.size"
        )
    images = images[..., 0] if channels == (1,) else images
    if labels is None:
        return images, None
    where = f"{printable(source)}: {prefix}labels"
    if labels.dtype.kind not in "iu" or labels.shape not in ((len(images),), (len(images), 1)):
        raise PipelineError(
            f"{where} should be ({len(images)},) whole numbers, one an image; "
            f"found {labels.shape} {labels.dtype}"
        )
    wrong = labels[(labels < 0) | (labels > MOST_LABEL)]
    if wrong.size:
        raise PipelineError(f"{where} should be from 0 to {MOST_LABEL:,}; found {wrong.flat[0]}")
    return images, labels.ravel().astype(np.uint8 if labels.max() <= 255 else np.uint16)


def _sides(images: np.ndarray) -> str:
    return f"{images.shape[2]}x{images.shape[1]}"
