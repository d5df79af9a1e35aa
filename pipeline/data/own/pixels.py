"""An opened picture of any mode as 8-bit RGB; decides which number is white in each mode.

What is done with the numbers then is in `brightness`.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from pipeline.common.errors import printable
from pipeline.common.image_limits import LEAST_SIDE, MOST_SIDE
from pipeline.data.own import brightness
from pipeline.data.own.brightness import WHITE_8, WHITE_16, WrongRange

MOST_PIXELS = 89_478_485  # Pillow's own limit against small files that unpack to large pictures
SEVERAL_FRAMES = ("GIF", "TIFF", "WEBP", "PNG")  # a phone's JPEG may hold a preview or a depth map: no frame
WHITE_IS_ZERO, PHOTOMETRIC = 0, 262  # of TIFF


class Unusable(Exception):
    """A picture that cannot be an image of the set; the message says why."""


@dataclass(frozen=True)
class Pixels:
    """An image, and what its file says of its range."""

    image: np.ndarray  # (3, H, W) uint8
    white: int = (
        WHITE_8  # the largest number of the file's format; 0 where there is no telling, or it was told
    )
    brightest: int = 0  # a number that none in the image is above, of that


def read(picture: Image.Image, size: int | None, white_level: int | None) -> Pixels:
    """An opened picture, upright, RGB, and if there is a size, the square in its middle.

    Raises:
        Unusable: it has no pixels, too many, or of no range that is known.
    """
    width, height = picture.size
    if not width * height:
        raise Unusable(f"{width}x{height} pixels")
    if width * height > MOST_PIXELS:
        raise Unusable(f"more than {MOST_PIXELS:,} pixels")
    bits_16 = _has_16_bits(picture)  # before it is unpacked, when Pillow forgets it
    if size:
        # A JPEG is decoded at a half, a quarter or an eighth, where that is still twice the size.
        picture.draft(None, (2 * size, 2 * size))
    elif not LEAST_SIDE <= min(width, height) <= max(width, height) <= MOST_SIDE:
        raise Unusable(
            f"{width}x{height} pixels; with data.size: null, sides must be from {LEAST_SIDE} to {MOST_SIDE}"
        )
    if picture.mode == "F" or picture.mode.startswith("I"):
        grey, white, brightest = _grey(picture, white_level)
        upright = _upright(grey, picture)
        return Pixels(_array(upright.convert("RGB"), size), white, brightest)
    image = _array(to_rgb(ImageOps.exif_transpose(picture)), size)
    white = WHITE_16 if bits_16 else WHITE_8
    if white_level is None or white_level >= white:
        most = int(image.max())
        return Pixels(image, white, most << 8 | 255 if bits_16 else most)
    if bits_16:
        raise Unusable(
            f"16 bits a channel, of which the upper 8 are read: too few where data.white_level is "
            f"{white_level:,}; convert it to 8 bits"
        )
    return Pixels(_scaled(image, white_level), 0)


def to_rgb(picture: Image.Image) -> Image.Image:
    """A picture of 8 bits a channel as RGB: grey three times, what is transparent on white."""
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    try:
        return picture.convert("RGB")
    except ValueError:
        raise Unusable(f"{printable(picture.mode)} pixels; expected RGB, CMYK, grey or a palette") from None


def square(picture: Image.Image, size: int) -> Image.Image:
    """The largest square in the middle, `size` pixels a side. One that is so already keeps its pixels."""
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    return picture.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.LANCZOS)


def frames(picture: Image.Image) -> int:
    """Number of frames or pages of an opened file."""
    return getattr(picture, "n_frames", 1) if picture.format in SEVERAL_FRAMES else 1


def _grey(picture: Image.Image, white_level: int | None) -> tuple[Image.Image, int, int]:
    """One channel of more than 8 bits as bytes; white of the file's format, and its brightest number."""
    rawmode = _rawmode(picture)
    inverted = picture.format == "TIFF" and _tag(picture, PHOTOMETRIC) == WHITE_IS_ZERO
    values = np.asarray(picture)
    try:
        least, most = brightness.bounds(values)
        white, bounded = _white(picture, rawmode)
        if white_level is None and not bounded and most > white * (1 + brightness.ROUNDING):
            raise Unusable(_unknown(picture, least, most))
        # Where the format holds any number, a picture without a bright one may be a dark one of its set.
        if white_level is None or (bounded and white_level >= white):
            scaled = brightness.to_bytes(values, white)
        else:
            scaled = brightness.to_bytes(values, white_level)
    except WrongRange as error:
        raise Unusable(f"{error}" if white_level is None else f"{error}, data.white_level") from None
    brightest = int(white - least if inverted else most)
    return Image.fromarray(255 - scaled if inverted else scaled), white, brightest


def _white(picture: Image.Image, rawmode: str) -> tuple[int, bool]:
    """The number that is white where nothing else is told, and whether the format holds none above it."""
    if picture.mode == "F":
        return 1, False
    if rawmode.startswith("I;12"):
        return 4095, True
    if picture.format == "TIFF" and (picture.mode == "I" or rawmode.endswith("S")):
        return WHITE_8, False  # 32 bits, or signed: of no use as a range
    return WHITE_16, True


def _unknown(picture: Image.Image, least: float, most: float) -> str:
    kind = "floating-point" if picture.mode == "F" else "32-bit or signed"
    expected = 1 if picture.mode == "F" else WHITE_8
    return (
        f"{kind} pixels from {brightness.shown(least)} to {brightness.shown(most)}; "
        f"expected 0 to {expected}; {brightness.advice(most)}"
    )


def _scaled(image: np.ndarray, white_level: int) -> np.ndarray:
    try:
        return brightness.to_bytes(image, white_level)
    except WrongRange as error:
        raise Unusable(f"{error}, data.white_level") from None


def _upright(grey: Image.Image, picture: Image.Image) -> Image.Image:
    """Turned as the picture's EXIF says."""
    grey.info["exif"] = picture.getexif().tobytes()
    return ImageOps.exif_transpose(grey)


def _array(rgb: Image.Image, size: int | None) -> np.ndarray:
    return np.asarray(square(rgb, size) if size else rgb).transpose(2, 0, 1)


def _has_16_bits(picture: Image.Image) -> bool:
    """Whether each channel has 16 bits in the file, of a mode that keeps 8."""
    return ";16" in _rawmode(picture)


def _rawmode(picture: Image.Image) -> str:
    """How the file's pixels are laid out, as Pillow's decoders call it; empty where it does not say."""
    tiles = getattr(picture, "tile", None)
    arguments = tiles[0][3] if tiles else None
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _tag(picture: Image.Image, number: int) -> object:
    return getattr(picture, "tag_v2", {}).get(number)
