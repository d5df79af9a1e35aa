"""Numbers of pictures and arrays as bytes, 0 to white; and advice where white seems to be another number.

Which number is white is decided by who reads a format: `pixels` of a picture, `arrays` of an array. It is
the largest of the format: 255 of 8 bits, 65,535 of 16, 1 of floating-point numbers. Where files use less of
it, as where 16 bits hold what a camera has of 12, data.white_level says so.
"""

import numpy as np

WHITE_8, WHITE_16 = 255, 65_535
# A set whose brightest number is no more than this, of a format whose white is that, is of another range:
# 0 and 1 or 4 bits in 8; 8, 10, 12 or 14 bits in 16.
DARK = {WHITE_8: 31, WHITE_16: 16_383}
LEVELS = (1, 15, 31, 255, 1023, 4095, 16_383, 65_535)  # that white often is
ROUNDING = 1e-5  # by which floating-point brightness may be below 0 and above 1, as resizing leaves it


class WrongRange(ValueError):
    """Numbers that no one range fits; the message says which were found, and what to do."""


def to_bytes(values: np.ndarray, white: float) -> np.ndarray:
    """Numbers from 0 to `white` as bytes of the same shape; of 16 bits the upper 8, as picture files' are.

    Raises:
        WrongRange: some are below 0, above white, or no numbers.
    """
    if values.dtype == np.uint8 and white == WHITE_8:
        return values
    check(values, white)
    if values.dtype.kind in "iu" and white == WHITE_16:
        return (values >> 8).astype(np.uint8)
    return (values.astype(np.float64) * (255 / white)).round().clip(0, 255).astype(np.uint8)


def check(values: np.ndarray, white: float) -> None:
    """Raise unless all numbers are from 0 to white, but for rounding."""
    if not values.size:
        return
    least, most = bounds(values)
    slack = ROUNDING * white if values.dtype.kind == "f" else 0
    if least < -slack or most > white + slack:
        raise WrongRange(f"numbers from {shown(least)} to {shown(most)}; expected 0 to {shown(white)}")


def bounds(values: np.ndarray) -> tuple[float, float]:
    """The least and the largest number.

    Raises:
        WrongRange: one is NaN or infinite.
    """
    least, most = (bound.item() for bound in (values.min(), values.max()))
    if not np.isfinite([least, most]).all():
        raise WrongRange("NaN or infinity")
    return least, most


def dark(brightest: float, white: float, what: str) -> str:
    """Sentence on a set whose brightest number shows that its range is not the format's; empty otherwise.

    A set that is black all over says nothing of its range. what: such as "32 pictures of 8 bits".
    """
    if not 0 < brightest <= DARK.get(int(white), 0):
        return ""
    return (
        f"no number in {what} is above {shown(brightest)} of {shown(white)}, so white seems to be less; "
        f"{advice(brightest, white)}"
    )


def advice(brightest: float, white: float | None = None) -> str:
    """What to do where white is not known; `white` is what it is without being told."""
    likely = next((level for level in LEVELS if level >= brightest), brightest)
    otherwise = f", or {shown(white)} if they are as dark as that" if white else ""
    return (
        "set data.white_level, or --white-level, to the number that is white "
        f"(perhaps {shown(likely)}{otherwise})"
    )


def shown(value: float) -> str:
    """A number for people: whole ones with commas, others with as many digits as tell it from its like."""
    return f"{int(value):,}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.8g}"
