"""Limits of an image's sides, in pixels, that params.yaml and every kind of source keep."""

from typing import Literal

LEAST_SIDE = 8  # SSIM's window
MOST_SIDE = 256  # a model's memory grows with the square of it

Frames = Literal["one", "first", "all"]  # of a file with several: refuse it, take the first, or take all
