"""Inputs named on the command line: trained models, and pictures to use them on."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from pipeline.common import machine_limits, paths
from pipeline.common.errors import PipelineError, printable
from pipeline.data import hdf5, store
from pipeline.data.own import folder, pictures
from vae.pretrained import Autoencoder, load
from vae.tensorfile import ModelFileError

HDF5 = b"\x89HDF\r\n\x1a\n"  # how such a file begins
MOST_BYTES = 1 << 30  # of a picture's file
MOST_PICTURES = 5_000_000  # of an HDF5 file


@dataclass(frozen=True)
class Source:
    """Pictures, in order; read when they are asked for, a batch at a time, and any number of times."""

    names: Sequence[str]
    labels: np.ndarray | None  # (N,) int64, where there are any
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

    def condition_labels(self, model: Autoencoder, digit: int | None) -> np.ndarray | None:
        """The labels that the models are told, (N,) int64; None where they take none.

        Raises:
            PipelineError: they need labels and there are none, or the other way round; or one is too large.
        """
        chosen = self.labels if digit is None else np.full(len(self), check_digit(model, digit))
        if not model.classes:
            return None
        if chosen is None:
            raise PipelineError(
                f"these models are told a label: give --digit, from 0 to {model.classes - 1}, or an HDF5 "
                "file with labels"
            )
        if chosen.max() >= model.classes:
            raise PipelineError(
                f"a label is {chosen.max()}, but those of the models end at {model.classes - 1}"
            )
        return chosen


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


def check_digit(model: Autoencoder, digit: int) -> int:
    """`--digit`, if these models are told one."""
    if not model.classes:
        raise PipelineError(
            f"--digit {digit}: these models are told no label; `vaepipe preset apply conditional` trains some"
        )
    if digit >= model.classes:
        raise PipelineError(
            f"--digit {digit}: expected a label of these models, from 0 to {model.classes - 1}"
        )
    return digit


@contextmanager
def source(
    places: Sequence[Path], model: Autoencoder, split: str | None = None, first: int | None = None
) -> Iterator[Source]:
    """Picture files, folders of them, or one HDF5 file in the layout of `store`; at most the first so many.

    Raises:
        PipelineError: one is not there, holds no pictures, or they do not fit the models.
    """
    hdf5 = [place for place in places if _is_hdf5(place)]
    if hdf5 and len(places) > 1:
        raise PipelineError(f"{printable(hdf5[0])}: an HDF5 file beside others; expected it alone")
    if hdf5:
        with _of_split(hdf5[0], model, split or "test", first) as selected:
            yield selected
        return
    if split is not None:
        raise PipelineError(
            f"--split {split}: only an HDF5 file has splits, and {printable(places[0])} is none"
        )
    yield _of_files(places, model, first)


def pair(first: Path, last: Path, model: Autoencoder) -> Source:
    """Two picture files.

    Raises:
        PipelineError: one is not there, or not a file.
    """
    for place in (first, last):
        if place.is_dir():
            raise PipelineError(f"{printable(place)}: a folder; expected a picture")
    return _of_files([first, last], model, None)


@contextmanager
def _of_split(path: Path, model: Autoencoder, name: str, first: int | None) -> Iterator[Source]:
    with ExitStack() as stack:
        try:
            _check(path)
            splits = stack.enter_context(store.read(path, dimensions=4))
        except hdf5.DAMAGE_ERRORS as error:
            raise PipelineError(
                f"{printable(path)}: not in the layout of {paths.IMAGES} ({hdf5.error_text(error)})"
            ) from None
        if name not in splits:
            raise PipelineError(f"{printable(path)}: no split {name}; found {', '.join(splits)}")
        images, labels = splits[name].images, splits[name].labels
        if images.shape[1:] != model.image_shape:
            raise PipelineError(
                f"{printable(path)}: images are {images.shape[1:]}, but the models' {model.image_shape}; "
                "images in HDF5 are not resized"
            )
        count = min(len(images), first or len(images))

        def blocks() -> Iterator[np.ndarray]:
            for start in range(0, count, model.batch):
                yield images[start : min(start + model.batch, count)]

        yield Source(
            [f"{name}-{n:06}" for n in range(count)],
            None if labels is None else labels[:count].astype(np.int64),
            count * int(np.prod(model.image_shape)),
            blocks,
        )


def _check(path: Path) -> None:
    """Raise unless all that `store.read` reads of a file lies in it, and is no more than can be listed."""
    try:
        file = h5py.File(path, "r")
    except OSError:
        return  # `store.read` says why
    with file:
        for name in (name for name in paths.SPLITS if name in file):
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                raise PipelineError(f"{printable(path)}: split {name} is not in the file itself")
            for part in ("images", "labels", "classes"):
                if part == "images" or file[name].get(part, getlink=True):
                    dataset = hdf5.member(path, file[name], part)
                    if dataset.ndim and len(dataset) > MOST_PICTURES:
                        contents = f"{len(dataset):,} {part} in {name}"
                        raise PipelineError(
                            f"{printable(path)}: {contents}; expected at most {MOST_PICTURES:,}"
                        )


def _of_files(places: Sequence[Path], model: Autoencoder, first: int | None) -> Source:
    named = [pair for place in places for pair in _expanded(place)][:first]
    files = [path for path, _ in named]
    title = places[0] if len(places) == 1 else Path("pictures")
    _, height, width = model.image_shape

    def blocks() -> Iterator[np.ndarray]:
        findings = pictures.Findings()
        with pictures.loader(height if height == width else None) as load_all:
            for start in range(0, len(files), model.batch):
                block = files[start : start + model.batch]
                loaded = [_fitting(picture, model) for picture in load_all(block)]
                for path, picture in zip(block, loaded, strict=True):
                    findings.take(path, picture)
                if findings.good():
                    yield np.stack([picture.image for picture in loaded if picture.image is not None])
        findings.check(title)

    return Source([name for _, name in named], None, sum(_bytes(path) for path in files), blocks)


def _expanded(place: Path) -> list[tuple[Path, str]]:
    """The files that a path stands for, and their names: in a folder, from there."""
    if place.is_dir():
        files = folder.below(place)
        if not files:
            raise PipelineError(
                f"{printable(place)}: no pictures; expected {', '.join(folder.SUFFIXES)} files"
            )
        return [(path, printable(path.relative_to(place).as_posix())) for path in files]
    if not place.is_file():
        what = "not a file" if place.exists() else "not found"
        raise PipelineError(
            f"{printable(place)}: {what}; expected pictures, a folder of them, or an HDF5 file"
        )
    return [(place, printable(place.name))]


def _bytes(path: Path) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise PipelineError(f"{printable(path)}: cannot be read: {error.strerror}") from None
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


def _is_hdf5(place: Path) -> bool:
    if not place.is_file():
        return False
    try:
        with place.open("rb") as file:
            return file.read(len(HDF5)) == HDF5
    except OSError as error:
        raise PipelineError(f"{printable(place)}: cannot be read: {error.strerror}") from None


def _size(shape: Sequence[int]) -> str:
    """Width and height of images of a shape, (..., H, W)."""
    return f"{shape[-1]}x{shape[-2]}"
