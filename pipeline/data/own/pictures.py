"""Picture files of many kinds as RGB images of one size, in the store's layout."""

import hashlib
import io
import logging
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.common import machine_limits, paths
from pipeline.common.errors import PipelineError, one_line, printable
from pipeline.common.image_limits import Frames
from pipeline.common.progress import bar
from pipeline.data import store
from pipeline.data.own import brightness, pixels
from pipeline.data.own.folder import Listing, Picture
from pipeline.data.own.pixels import MOST_PIXELS, Unusable

# Not all that Pillow opens: some kinds call other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM")
THREADS = 8  # at most: each holds one picture in full
BLOCK = 256  # images between two steps of the progress bar
NAMED = 5  # pictures that an error names


@dataclass(frozen=True)
class Reading:
    """How files are read (see `params.DataConfig`)."""

    size: int | None = None
    frames: Frames = "one"
    white_level: int | None = None


@dataclass(frozen=True)
class Loaded:
    """One picture, read: an image, or else what is wrong with it."""

    image: np.ndarray | None  # (3, H, W) uint8
    wrong: str = ""
    size: int = 0  # of the file, bytes
    md5: bytes = b""
    white: int = 0  # the largest number of its format; 0 where there is no telling
    brightest: int = 0  # a number that none in it is above, of that


@dataclass
class Findings:
    """Faults of the pictures so far: all are read before any is complained of."""

    read: int = 0
    wrong: list[str] = field(default_factory=list)
    sizes: dict[str, list[Path]] = field(default_factory=dict)  # "WxH" to the files of that size
    brightest: dict[int, tuple[int, int]] = field(default_factory=dict)  # by white: pictures, and of them all

    def take(self, path: Path, loaded: Loaded) -> None:
        self.read += 1
        if loaded.image is None:
            self.wrong.append(f"{printable(path)} ({loaded.wrong})")
            return
        _, height, width = loaded.image.shape
        self.sizes.setdefault(f"{width}x{height}", []).append(path)
        if loaded.white:
            count, most = self.brightest.get(loaded.white, (0, 0))
            self.brightest[loaded.white] = (count + 1, max(most, loaded.brightest))

    def good(self) -> bool:
        return not self.wrong and len(self.sizes) == 1

    def check(self, folder: Path) -> None:
        """Raise one line for all pictures that are wrong; else one for several sizes."""
        if self.wrong:
            more = f" and {len(self.wrong) - NAMED:,} more" if len(self.wrong) > NAMED else ""
            raise PipelineError(
                f"{printable(folder)}: {len(self.wrong):,} of {self.read:,} pictures cannot be used: "
                f"{', '.join(self.wrong[:NAMED])}{more}; mend them, or leave them out; nothing was written"
            )
        if len(self.sizes) > 1:
            common = sorted(self.sizes.items(), key=lambda item: -len(item[1]))
            found = ", ".join(
                f"{len(of_size):,} of {size} ({printable(of_size[0].name)}{', ...' * (len(of_size) > 1)})"
                for size, of_size in common[:NAMED]
            )
            raise PipelineError(
                f"{printable(folder)}: pictures of {len(self.sizes):,} sizes; expected one, as "
                f"{paths.PARAMS}: data.size is null; found {found}; set data.size to make them equal"
            )

    def dark(self) -> str:
        """Sentence on pictures of one kind so dark that their range must be another; or empty."""
        for white, (count, most) in sorted(self.brightest.items()):
            what = f"{count:,} picture{'s' * (count > 1)} of {white.bit_length()} bits"
            if sentence := brightness.dark(most, white, what):
                return sentence
        return ""


def write(path: Path, folder: Path, listings: dict[str, Listing], reading: Reading) -> None:
    """Write the pictures of each split as RGB images, of one size or as they are.

    Raises:
        PipelineError: pictures that cannot be read, are of several sizes, or darker than their formats'
            ranges. Nothing is written then.
    """
    findings = Findings()
    with store.create(path) as file, loader(reading) as load_all:
        for split, listing in listings.items():
            _write_split(file, split, listing, load_all, findings)
        findings.check(folder)
        if reading.white_level is None and (dark := findings.dark()):
            raise PipelineError(f"{printable(folder)}: {dark}; nothing was written")


@contextmanager
def loader(reading: Reading) -> Iterator[Callable[[Sequence[Picture]], Iterable[Loaded]]]:
    """Yield `load` of many pictures, in their order, some at once."""
    with _quiet(), _pool() as pool:
        yield partial(pool.map, partial(load, reading=reading))


def frames(files: Sequence[Path]) -> Iterator[list[Picture]]:
    """Every frame or page of each file; of one that cannot be opened, the file, which `load` will name."""
    with _quiet(), _pool() as pool:
        for path, count in zip(files, pool.map(_frames, files), strict=True):
            yield [Picture(path, frame) for frame in range(count)]


def _frames(path: Path) -> int:
    try:
        with Image.open(io.BytesIO(_content(path)), formats=FORMATS) as picture:
            return pixels.frames(picture)
    except Exception:  # whatever Pillow trips over: `load` says what is wrong
        return 1


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(THREADS, machine_limits.cores()))


@contextmanager
def _quiet() -> Iterator[None]:
    """What Pillow warns of and logs is either harmless or an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("PIL").addHandler(logging.NullHandler())
        yield


def _write_split(
    file: store.Writer,
    split: str,
    listing: Listing,
    load_all: Callable[[Sequence[Picture]], Iterable[Loaded]],
    findings: Findings,
) -> None:
    size, digest = 0, hashlib.md5(usedforsecurity=False)
    images = None
    with bar(f"read {split}", len(listing.pictures), "images") as advance:
        for start in range(0, len(listing.pictures), BLOCK):
            pictures = listing.pictures[start : start + BLOCK]
            block = list(load_all(pictures))
            for picture, loaded in zip(pictures, block, strict=True):
                findings.take(picture.path, loaded)
                size += loaded.size
                digest.update(loaded.md5)
            if findings.good():
                array = np.stack([loaded.image for loaded in block if loaded.image is not None])
                if images is None:
                    shape = (len(listing.pictures), *array.shape[1:])
                    images = file.create(split, shape, listing.labels, classes=listing.classes)
                images[start : start + len(array)] = array
            advance(len(pictures))
    if images is not None:
        provenance = store.Provenance(listing.title, size, digest.hexdigest(), listing.note)
        file.describe(split, provenance)


def load(picture: Picture, reading: Reading) -> Loaded:
    """Read one picture. What is wrong with it is a value, since all wrong ones are to be named."""
    try:
        data = b"" if picture.frame else _content(picture.path)
        if not data and not picture.frame:
            return Loaded(None, "an empty file")
        # Of the frames after the first only what they need is read.
        with (
            io.BytesIO(data) if data else picture.path.open("rb") as file,
            Image.open(file, formats=FORMATS) as opened,
        ):
            if reading.frames == "one" and (count := pixels.frames(opened)) > 1:
                raise Unusable(
                    f"{count:,} frames or pages; set data.frames, or --frames, to first, or to all"
                )
            if picture.frame:
                opened.seek(picture.frame)
            read = pixels.read(opened, reading.size, reading.white_level)
    except UnidentifiedImageError:
        return Loaded(None, "not a picture, or damaged")
    except Image.DecompressionBombError:
        return Loaded(None, f"more than {MOST_PIXELS:,} pixels")
    except Unusable as error:
        return Loaded(None, str(error))
    # Pillow answers a damaged file with whatever its decoders trip over: SyntaxError, struct.error...
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            return Loaded(None, error.strerror)  # the system's: a permission, a disk
        reason = one_line(error)
        return Loaded(None, f"damaged: {printable(reason)}")
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    return Loaded(read.image, "", len(data), md5, read.white, read.brightest)


def _content(path: Path) -> bytes:
    """The bytes of a file. Raises Unusable for what is none: a link to nothing, a pipe."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise Unusable("a link to nothing" if path.is_symlink() else "it is gone") from None
    if not stat.S_ISREG(mode):
        raise Unusable("no plain file")
    return path.read_bytes()
