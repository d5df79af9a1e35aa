"""Limits of images: of their sides, in pixels, and of packed arrays of them, in bytes."""

from typing import Literal

LEAST_SIDE = 8  # pixels: SSIM's window
MOST_SIDE = 256  # pixels: a model's memory grows with the square of it
# How many times as large as they are packed arrays of images may be. Zeros are packed 1,030 times as small,
# and black drawings on white, the densest that people train on, 120 times.
DENSEST = 500
SMALL = 64 << 20  # bytes that anything may be unpacked to

Frames = Literal["one", "first", "all"]  # of a file with several: refuse it, take the first, or take all


def unpacked_trouble(whole: int, packed: int) -> str:
    """Reason not to unpack arrays into memory at once, from what their file says; empty if there is none.

    whole: bytes of the arrays.
    packed: bytes of the file.
    """
    if whole > SMALL + DENSEST * packed:
        return f"says that it holds {whole:,} bytes, more than images can be packed into {packed:,}"
    from pipeline.common import machine_limits  # every command loads this module, and few ask for memory

    free = machine_limits.memory().available
    if whole > free:
        return f"takes {whole:,} bytes of memory, and {free:,} are free; give a folder of pictures, or HDF5"
    return ""
