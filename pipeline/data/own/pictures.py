"""Picture files of many kinds as RGB images of one size, in the store's paths."""

import hashlib
import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.common import machine_limits, paths
from pipeline.common.errors import PipelineError, one_line, printable
from pipeline.common.image_limits import LEAST_SIDE, MOST_SIDE
from pipeline.common.progress import bar
from pipeline.data import store
from pipeline.data.own.folder import Listing

# Not all that Pillow opens: some kinds call other programs.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
MOST_PIXELS = 89_478_485  # Pillow's own limit against small files that unpack to large pictures
THREADS = 8  # at most: each holds one picture in full
BLOCK = 256  # images between two steps of the progress bar
NAMED = 5  # pictures that an error names


class Unusable(Exception):
    """A picture that cannot be an image of the set; the message says why."""


@dataclass(frozen=True)
class Loaded:
    """One file, read: an image, or else what is wrong with it."""

    image: np.ndarray | None  # (3, H, W) uint8
    wrong: str = ""
    size: int = 0  # of the file, bytes
    md5: bytes = b""


@dataclass
class Findings:
    """Faults of the files so far: all are read before any is complained of."""

    read: int = 0
    wrong: list[str] = field(default_factory=list)
    sizes: dict[str, list[Path]] = field(default_factory=dict)  # "WxH" to the files of that size

    def take(self, path: Path, loaded: Loaded) -> None:
        self.read += 1
        if loaded.image is None:
            self.wrong.append(f"{printable(path)} ({loaded.wrong})")
        else:
            _, height, width = loaded.image.shape
            self.sizes.setdefault(f"{width}x{height}", []).append(path)

    def good(self) -> bool:
        return not self.wrong and len(self.sizes) == 1

    def check(self, folder: Path) -> None:
        """Raise one line for all files that are wrong; else one for several sizes."""
        if self.wrong:
            more = f" and {len(self.wrong) - NAMED:,} more" if len(self.wrong) > NAMED else ""
            raise PipelineError(
                f"{printable(folder)}: {len(self.wrong):,} of {self.read:,} pictures cannot be used: "
                f"{', '.join(self.wrong[:NAMED])}{more}; mend or remove them; nothing was written"
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


def write(path: Path, folder: Path, listings: dict[str, Listing], size: int | None) -> None:
    """Write the pictures of each split as RGB images, `size` pixels a side, or as they are if that is None.

    Raises:
        PipelineError: pictures that cannot be read, or are of several sizes. Nothing is written then.
    """
    findings = Findings()
    with store.create(path) as file, loader(size) as load_all:
        for split, listing in listings.items():
            _write_split(file, split, listing, load_all, findings)
        findings.check(folder)


@contextmanager
def loader(size: int | None) -> Iterator[Callable[[Sequence[Path]], Iterable[Loaded]]]:
    """Yield `load` of many files, in their order, some at once."""
    with warnings.catch_warnings(), ThreadPoolExecutor(min(THREADS, machine_limits.cores())) as pool:
        # What Pillow warns of and logs is either harmless or an error here.
        warnings.simplefilter("ignore")
        logging.getLogger("PIL").addHandler(logging.NullHandler())
        yield partial(pool.map, partial(load, size=size))


def _write_split(
    file: store.Writer,
    split: str,
    listing: Listing,
    load_all: Callable[[Sequence[Path]], Iterable[Loaded]],
    findings: Findings,
) -> None:
    size, digest = 0, hashlib.md5(usedforsecurity=False)
    images = None
    with bar(f"read {split}", len(listing.paths), "images") as advance:
        for start in range(0, len(listing.paths), BLOCK):
            block_paths = listing.paths[start : start + BLOCK]
            block = list(load_all(block_paths))
            for path, loaded in zip(block_paths, block, strict=True):
                findings.take(path, loaded)
                size += loaded.size
                digest.update(loaded.md5)
            if findings.good():
                array = np.stack([loaded.image for loaded in block if loaded.image is not None])
                if images is None:
                    shape = (len(listing.paths), *array.shape[1:])
                    images = file.create(split, shape, listing.labels, classes=listing.classes)
                images[start : start + len(array)] = array
            advance(len(block_paths))
    if images is not None:
        file.describe(split, store.Provenance(listing.title, size, digest.hexdigest()))


def load(path: Path, size: int | None) -> Loaded:
    """Read one file. What is wrong with it is a value, since all wrong files are to be named."""
    try:
        data = path.read_bytes()
        if not data:
            return Loaded(None, "an empty file")
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            image = as_array(picture, size)
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
    return Loaded(image, "", len(data), hashlib.md5(data, usedforsecurity=False).digest())


def as_array(picture: Image.Image, size: int | None) -> np.ndarray:
    """An opened picture as (3, H, W) uint8: upright, RGB, and if there is a size, the square in its middle.

    Raises:
        Unusable: it has no pixels, too many, or of a kind that has no range.
    """
    width, height = picture.size
    if not width * height:
        raise Unusable(f"{width}x{height} pixels")
    if width * height > MOST_PIXELS:
        raise Unusable(f"more than {MOST_PIXELS:,} pixels")
    if size:
        # A JPEG is decoded at a half, a quarter or an eighth, where that is still twice the size.
        picture.draft(None, (2 * size, 2 * size))
    elif not LEAST_SIDE <= min(width, height) <= max(width, height) <= MOST_SIDE:
        raise Unusable(
            f"{width}x{height} pixels; with data.size: null, sides must be from {LEAST_SIDE} to {MOST_SIDE}"
        )
    rgb = to_rgb(ImageOps.exif_transpose(picture))
    return np.asarray(square(rgb, size) if size else rgb).transpose(2, 0, 1)


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode as RGB: grey three times, 16 bits by their upper 8, what is transparent on white."""
    if picture.mode.startswith("I"):
        values = np.asarray(picture)
        if values.min() < 0 or values.max() >= 1 << 16:
            raise Unusable("32-bit pixels; expected 8 or 16 bits")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode == "F":
        raise Unusable("floating-point pixels; expected 8 or 16 bits")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")


def square(picture: Image.Image, size: int) -> Image.Image:
    """The largest square in the middle, `size` pixels a side. One that is so already keeps its pixels."""
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    return picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)
