"""Inputs named on the command line: trained models, and pictures to use them on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.common import machine_limits, paths
from pipeline.common.errors import PipelineError, listed, printable
from pipeline.common.image_limits import Frames
from pipeline.common.progress import console
from pipeline.data.own import folder, npz, pictures, tree
from pipeline.data.own.brightness import WrongRange
from pipeline.data.own.folder import Picture
from pipeline.inference import array_files
from pipeline.inference.array_files import ArrayFile
from vae.pretrained import Autoencoder, load
from vae.tensorfile import ModelFileError

NAMED = 10  # classes that an error names
MOST_BYTES = 1 << 30  # of a picture's file


@dataclass(frozen=True)
class Source:
    """Pictures, in order; read when they are asked for, a batch at a time, and any number of times."""

    names: Sequence[str]
    classes: Sequence[str | None] | None  # N names of what the pictures show, where that is known
    size: int  # bytes: of the files, or of an HDF5 file's pixels
    blocks: Callable[[], Iterator[np.ndarray]]  # (B, 3, H, W) uint8

    def __len__(self) -> int:
        return len(self.names)

    def batches(self, labels: np.ndarray | None) -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
        """Yield blocks of pictures: which they are, the pictures, and their labels."""
        start = 0
        for images in self.blocks():
            rows = slice(start, start + len(images))
            yield rows, images, None if labels is None else labels[rows]
            start = rows.stop

    def condition_labels(self, model: Autoencoder, digit: str | None) -> np.ndarray | None:
        """What the models are told, (N,) int64, places of classes; None where they are told none.

        Raises:
            PipelineError: they need labels and there are none, or the other way round; or one is none of
                theirs.
        """
        if digit is not None:
            return np.full(len(self), check_digit(model, digit))
        if not model.classes:
            return None
        if self.classes is None or None in self.classes:
            raise PipelineError(
                f"these models are told a label: give --digit, one of {_named(model)}, or pictures with "
                "labels, such as class folders or data/svhn.h5"
            )
        places = {name: place for place, name in enumerate(model.class_names)}
        if unknown := sorted({str(name) for name in self.classes} - places.keys(), key=tree.natural_key):
            raise PipelineError(
                f"a picture is labelled {printable(unknown[0])}, which is no class of these models: "
                f"{_named(model)}"
            )
        return np.array([places[str(name)] for name in self.classes], np.int64)


def models(place: Path, device: str | None) -> Autoencoder:
    """The models in a folder.

    Raises:
        PipelineError: a file is absent, damaged or does not fit the others; or the device cannot be used.
    """
    machine_limits.share_threads()
    try:
        return load(place, device)
    except ModelFileError as error:
        way = paths.workspace_hint("--models names a folder that `vaepipe train` has written")
        raise PipelineError(f"{error}; {way}") from None
    except ValueError as error:
        raise PipelineError(str(error)) from None


def _named(model: Autoencoder) -> str:
    return listed(model.class_names, NAMED)


def check_digit(model: Autoencoder, digit: str) -> int:
    """The place of the class that `--digit` names, if these models are told one."""
    if not model.classes:
        raise PipelineError(
            f"--digit {printable(digit)}: these models are told no label; "
            "`vaepipe preset apply conditional` trains some"
        )
    if digit not in model.class_names:
        raise PipelineError(f"--digit {printable(digit)}: expected a class of these models: {_named(model)}")
    return model.class_names.index(digit)


@contextmanager
def source(
    places: Sequence[Path],
    model: Autoencoder,
    split: str | None = None,
    first: int | None = None,
    *,
    frames: Frames = "one",
    white_level: int | None = None,
) -> Iterator[Source]:
    """Picture files, folders of them, or one file of arrays; at most the first so many.

    frames, white_level: as in params.yaml (see `params.DataConfig`).

    Raises:
        PipelineError: one is not there, holds no pictures, or they do not fit the models.
    """
    arrays = [place for place in places if array_files.is_array_file(place)]
    if arrays and len(places) > 1:
        raise PipelineError(f"{printable(arrays[0])}: a file of arrays beside others; expected it alone")
    if arrays:
        with array_files.opened(arrays[0], split, white_level) as file:
            yield _of_arrays(arrays[0], file, model, first)
        return
    if split is not None:
        raise PipelineError(
            f"--split {split}: only a file of arrays has splits, and {printable(places[0])} is none; "
            "of a folder, name the split's own"
        )
    yield _of_files(places, model, first, frames, white_level)


def pair(first: Path, last: Path, model: Autoencoder) -> Source:
    """Two picture files.

    Raises:
        PipelineError: one is not there, or not a file.
    """
    for place in (first, last):
        if place.is_dir():
            raise PipelineError(f"{printable(place)}: a folder; expected a picture")
    return _of_files([first, last], model, None)


def _of_arrays(path: Path, file: ArrayFile, model: Autoencoder, first: int | None) -> Source:
    _, height, width = model.image_shape
    resized = file.resizable and height == width
    if file.images.side != (height, width) and not resized:
        raise PipelineError(
            f"{printable(path)}: images are {_size(file.images.side)}, but the models' "
            f"{_size((height, width))}; images in such a file are not resized"
        )
    count = min(len(file.images), first or len(file.images))

    def blocks() -> Iterator[np.ndarray]:
        for start in range(0, count, model.batch):
            try:
                block = file.images.block(slice(start, min(start + model.batch, count)))
            except WrongRange as error:
                raise PipelineError(f"{printable(path)}: {error}") from None
            yield npz.rgb(block, height if resized else None)

    return Source(
        [f"{file.split}-{n:06}" for n in range(count)],
        None if file.classes is None else file.classes[:count],
        count * int(np.prod(model.image_shape)),
        blocks,
    )


def _of_files(
    places: Sequence[Path],
    model: Autoencoder,
    first: int | None,
    frames: Frames = "one",
    white_level: int | None = None,
) -> Source:
    named = [each for place in places for each in _expanded(place, frames)][:first]
    title = places[0] if len(places) == 1 else Path("pictures")
    _, height, width = model.image_shape
    reading = pictures.Reading(height if height == width else None, frames, white_level)

    def blocks() -> Iterator[np.ndarray]:
        findings = pictures.Findings()
        with pictures.loader(reading) as load_all:
            for start in range(0, len(named), model.batch):
                block = [each.picture for each in named[start : start + model.batch]]
                loaded = [_fitting(picture, model) for picture in load_all(block)]
                for picture, found in zip(block, loaded, strict=True):
                    findings.take(picture.path, found)
                if findings.good():
                    yield np.stack([found.image for found in loaded if found.image is not None])
        findings.check(title)
        if white_level is None and (dark := findings.dark()):
            console.print(f"{title}: {dark}", markup=False, soft_wrap=True)

    classes = [each.class_name for each in named]
    files = {each.picture.path for each in named}
    return Source([each.name for each in named], classes, sum(_bytes(path) for path in files), blocks)


@dataclass(frozen=True)
class _Named:
    """A picture, what it is called, and what it shows, where a folder tells."""

    picture: Picture
    name: str
    class_name: str | None


def _expanded(place: Path, frames: Frames) -> list[_Named]:
    """The pictures that a path stands for; in a folder they are called by their paths from there."""
    if place.is_dir():
        classes = folder.class_of_each(place)
        if not classes:
            raise PipelineError(f"{printable(place)}: no pictures; expected {', '.join(tree.SUFFIXES)} files")
        named = [(path, path.relative_to(place).as_posix(), name) for path, name in classes.items()]
    elif place.is_file():
        named = [(place, place.name, None)]
    else:
        what = "not a file" if place.exists() else "not found"
        raise PipelineError(
            f"{printable(place)}: {what}; expected pictures, a folder of them, or a file of arrays: .npz, "
            ".mat or HDF5"
        )
    expand = pictures.frames if frames == "all" else folder.whole_files
    return [
        _Named(picture, printable(f"{name}-{picture.frame}" if len(of_file) > 1 else name), class_name)
        for (_, name, class_name), of_file in zip(named, expand([path for path, *_ in named]), strict=True)
        for picture in of_file
    ]


def _bytes(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError:
        return 0  # reading says what is wrong
    if size > MOST_BYTES:
        raise PipelineError(
            f"{printable(path)}: {size:,} bytes; expected a picture of at most {MOST_BYTES:,}"
        )
    return size


def _fitting(loaded: pictures.Loaded, model: Autoencoder) -> pictures.Loaded:
    """Refuse a picture of another size, for models whose images are no squares."""
    if loaded.image is None or loaded.image.shape == model.image_shape:
        return loaded
    wrong = f"{_size(loaded.image.shape)} pixels; the models are of {_size(model.image_shape)}"
    return replace(loaded, image=None, wrong=wrong)


def _size(shape: Sequence[int]) -> str:
    """Width and height of images of a shape, (..., H, W)."""
    return f"{shape[-1]}x{shape[-2]}"
