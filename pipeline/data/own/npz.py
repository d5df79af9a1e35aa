"""A user's images in one NumPy file, as RGB images of one size, in the store's layout.

`images` and, if there are any, `labels`; or the same of each split, `train_images` or Keras' `x_train`, and
`y_train` (see `WORDS`). Other arrays are not read. What the arrays may be `arrays` and `labels` tell.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from PIL import Image

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError, one_line, printable
from pipeline.common.image_limits import LEAST_SIDE, MOST_SIDE, unpacked_trouble
from pipeline.common.progress import bar
from pipeline.data import store
from pipeline.data.own import arrays, holdout, pixels
from pipeline.data.own import labels as label_arrays
from pipeline.data.own.arrays import ImageArray, WrongArray
from pipeline.data.own.brightness import WrongRange
from pipeline.data.own.pictures import BLOCK, Reading
from pipeline.data.own.split_names import TEST, TRAIN, VALIDATION, is_division, split_of

EXPECTED = (
    "images (and labels), or of each split, such as train_images and test_images (and train_labels, "
    "test_labels), or x_train and x_test (and y_train, y_test)"
)
IMAGES, LABELS = "images", "labels"
WORDS = {
    IMAGES: ("images", "image", "imgs", "x", "data"),
    LABELS: ("labels", "label", "y", "targets", "target"),
}
_ARRAY = re.compile(
    rf"(?:([a-z]+)_)?({'|'.join(word for words in WORDS.values() for word in words)})(?:_([a-z]+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Arrays:
    """The arrays of one split, whole, as `read` finds them."""

    images: ImageArray
    labels: np.ndarray | None  # (N,) uint8 or uint16
    classes: tuple[str, ...]  # names of the labels; empty where the numbers are their names


@dataclass(frozen=True)
class _Part:
    """One split to be written: some images of an array, in an order."""

    arrays: Arrays
    order: np.ndarray  # (n,) indices

    @property
    def labels(self) -> np.ndarray | None:
        return None if self.arrays.labels is None else self.arrays.labels[self.order]


def write(path: Path, source: Path, reading: Reading, test: float) -> list[str]:
    """Write the file's images of each split, of one size or as they are; return lines on how it was read.

    Without a test split, `test` is the share of the images that becomes it. Training images with labels are
    mixed (see `holdout`); those of other splits keep their order.

    Raises:
        PipelineError: the file is damaged, or not of this layout. Nothing is written then.
    """
    found, notes = read(source, reading.white_level)
    _check_sides(source, found, reading.size)
    parts = _parts(source, found, test)
    about = store.Provenance(printable(source.name), source.stat().st_size, files.md5(source))
    with store.create(path) as file:
        for split, part in parts.items():
            note = _unseen(parts[TRAIN], part)
            notes += [f"{split}: {note}"] if note else []
            height, width = (reading.size, reading.size) if reading.size else part.arrays.images.side
            shape = (len(part.order), 3, height, width)
            provenance = store.Provenance(about.name, about.size, about.md5, note)
            images = file.create(split, shape, part.labels, provenance, part.arrays.classes)
            with bar(f"read {split}", len(part.order), "images") as advance:
                for start in range(0, len(part.order), BLOCK):
                    block = part.arrays.images.block(part.order[start : start + BLOCK])
                    images[start : start + len(block)] = rgb(block, reading.size)
                    advance(len(block))
    return notes


def rgb(block: np.ndarray, size: int | None) -> np.ndarray:
    """Images (B, H, W) or (B, H, W, 3 or 4) uint8 as (B, 3, H, W) uint8, of a size where there is one."""
    pictures = (pixels.to_rgb(Image.fromarray(image)) for image in block)
    squares = (pixels.square(picture, size) if size else picture for picture in pictures)
    return np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in squares])


def read(source: Path, white_level: int | None) -> tuple[dict[str, Arrays], list[str]]:
    """The arrays of each split, or of the split "" where there are none; and lines on what was left out.

    Raises:
        PipelineError: the file is damaged, or not of this layout.
    """
    keys, values, left_out = _load(source)
    images, labels = dict[str, ImageArray](), dict[str, np.ndarray]()
    for split, key in keys[IMAGES].items():
        beside = keys[LABELS].get(split)
        with _naming(source, key):
            images[split] = arrays.images(values[key], len(values[beside]) if beside else None)
        if beside:
            with _naming(source, beside):
                labels[split] = label_arrays.read(values[beside], len(images[split]))
    with _naming(source, ", ".join(keys[IMAGES].values())):
        white = arrays.with_white(list(images.values()), white_level)
    with _naming(source, ", ".join(keys[LABELS].values())):
        stored, classes = label_arrays.stored(labels)
    found = {
        split: Arrays(array, stored.get(split), classes if split in stored else ())
        for split, array in zip(images, white, strict=True)
    }
    return found, [f"left out of {source.name}: {', '.join(left_out)}"] if left_out else []


@contextmanager
def _naming(source: Path, arrays_: str) -> Iterator[None]:
    """Say which array of which file it is that is wrong."""
    try:
        yield
    except WrongArray as error:
        raise PipelineError(f"{printable(source)}: {printable(arrays_)} {error}") from None
    except WrongRange as error:
        raise PipelineError(f"{printable(source)}: {printable(arrays_)}: {error}") from None


def _load(source: Path) -> tuple[dict[str, dict[str, str]], dict[str, np.ndarray], list[str]]:
    """Names of the images' and of the labels' arrays by split, the arrays, and names of others."""
    try:
        loaded = np.load(source, mmap_mode="r", allow_pickle=False)  # of which a single array is not read
        if isinstance(loaded, np.ndarray):
            raise ValueError("one array, as numpy.save writes it")
        with loaded as file:
            keys = _keys(source, list(file))
            used = [key for of_kind in keys.values() for key in of_kind.values()]
            _check_size(source, file.zip, used)
            return keys, {key: np.atleast_1d(file[key]) for key in used}, [n for n in file if n not in used]
    except PipelineError:
        raise
    except OSError as error:
        raise files.unreadable(source, error) from None
    # Damaged, pickled or encrypted files lead to BadZipFile, zlib.error, ValueError, RuntimeError...
    except Exception as error:
        raise PipelineError(
            f"{printable(source)}: not a whole .npz file of plain arrays ({one_line(error)}); "
            "write it again with numpy.savez"
        ) from None


def _check_size(source: Path, file: ZipFile, used: Sequence[str]) -> None:
    """Raise unless the memory holds these arrays, and the file can."""
    entries = [entry for entry in file.infolist() if entry.filename.removesuffix(".npy") in used]
    trouble = unpacked_trouble(sum(entry.file_size for entry in entries), source.stat().st_size)
    if trouble:
        raise PipelineError(f"{printable(source)}: {trouble}")


def _keys(source: Path, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The names of arrays by what they hold, IMAGES or LABELS, and by split, "" of all in one."""
    keys: dict[str, dict[str, str]] = {IMAGES: {}, LABELS: {}}
    for name in names:
        kind, split = _meaning(name)
        if not kind:
            continue
        if split in keys[kind]:
            raise PipelineError(
                f"{printable(source)}: {printable(keys[kind][split])} and {printable(name)} are both the "
                f"{f'{split} ' * bool(split)}{kind}; leave one out"
            )
        keys[kind][split] = name
    images = keys[IMAGES]
    if images.keys() != {""} and not is_division(set(images)):
        raise PipelineError(
            f"{printable(source)}: expected the arrays {EXPECTED}; "
            f"found {printable(', '.join(names) or 'none')}"
        )
    if "" in images and len(images) > 1:
        raise PipelineError(
            f"{printable(source)}: {printable(', '.join(images.values()))}: all images, or those of the "
            "splits? Leave some out"
        )
    keys[LABELS] = {split: name for split, name in keys[LABELS].items() if split in images}
    order = ("", TRAIN, VALIDATION, TEST)
    keys[IMAGES] = {split: images[split] for split in order if split in images}
    return keys


def _meaning(name: str) -> tuple[str, str]:
    """What an array holds, IMAGES, LABELS or nothing known, and the split that its name tells."""
    match = _ARRAY.fullmatch(name)
    if not match:
        return "", ""
    before, word, after = match.groups()
    split = split_of(before or after or "") or ""
    if (before and after) or ((before or after) and not split):
        return "", ""
    return IMAGES if word.casefold() in WORDS[IMAGES] else LABELS, split


def _check_sides(source: Path, found: Mapping[str, Arrays], size: int | None) -> None:
    """Raise unless images that stay as they are have one size, and one that models can have."""
    if size:
        return
    for of_split in found.values():
        height, width = of_split.images.side
        if not LEAST_SIDE <= min(height, width) <= max(height, width) <= MOST_SIDE:
            raise PipelineError(
                f"{printable(source)}: images are of {width}x{height} pixels, but as {paths.PARAMS}: "
                f"data.size is null, a side must be from {LEAST_SIDE} to {MOST_SIDE}; set data.size"
            )
    sides = {split: of_split.images.side for split, of_split in found.items()}
    if len(set(sides.values())) > 1:
        listed = ", ".join(f"{split} {width}x{height}" for split, (height, width) in sides.items())
        raise PipelineError(
            f"{printable(source)}: images of several sizes ({listed}); expected one, as {paths.PARAMS}: "
            "data.size is null; set data.size to make them equal"
        )


def _parts(source: Path, found: Mapping[str, Arrays], test: float) -> dict[str, _Part]:
    whole = found.get("", found.get(TRAIN))
    assert whole is not None
    order = np.arange(len(whole.images))
    if whole.labels is not None:
        order = holdout.interleave_classes(whole.labels)
    if TEST in found:
        parts = {TRAIN: _Part(whole, order)}
    else:
        if len(order) < 2:
            raise PipelineError(
                f"{printable(source)}: one image; expected at least 2: to train on, and to test on"
            )
        start = len(order) - holdout.test_count(len(order), test)
        parts = {TRAIN: _Part(whole, order[:start]), TEST: _Part(whole, order[start:])}
    as_they_are = {split: _Part(a, np.arange(len(a.images))) for split, a in found.items()}
    return {split: as_they_are[split] for split in (VALIDATION, TEST) if split in found} | parts


def _unseen(train: _Part, part: _Part) -> str:
    if train.labels is None or part.labels is None:
        return ""
    return holdout.unseen_note(train.labels, part.labels, part.arrays.classes)
