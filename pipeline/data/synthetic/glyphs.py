"""The digits of the faces that matplotlib carries, as a map of distances from their ink."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt

# Faces that matplotlib carries, the same on every machine, in per cent: house numbers are mostly bold sans.
FACES = {
    "DejaVuSans-Bold": 21,
    "cmss10": 21,
    "DejaVuSans": 12,
    "STIXGeneralBol": 12,
    "STIXGeneral": 7,
    "DejaVuSerif-Bold": 5,
    "cmb10": 5,
    "cmr10": 4,
    "DejaVuSerif": 3,
    "DejaVuSansMono-Bold": 3,
    "cmtt10": 3,
    "DejaVuSans-BoldOblique": 2,
    "STIXGeneralBolIta": 2,
}
GLYPH = 48  # atlas pixels in a digit's height
CELL = 96  # atlas pixels a side of a digit's cell
OVERSAMPLE = 3  # distances are measured on a grid so much finer than the atlas


class Atlas(NamedTuple):
    """Every face's digits. Lengths are in digit heights."""

    distance: np.ndarray  # (faces * 10 * CELL, CELL) float32 from the ink's edge, positive in it; a cell each
    width: np.ndarray  # (faces, 10) float32 of the ink


@cache
def glyph_atlas() -> Atlas:
    """Draw every digit of every face, once: about a second. Distances let strokes come bolder and lighter."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    side, height = CELL * OVERSAMPLE, GLYPH * OVERSAMPLE
    distances, widths = [], []
    for face in FACES:
        font = ImageFont.truetype(folder / f"{face}.ttf", height)
        _, top, _, bottom = font.getbbox("0")
        font = font.font_variant(size=height * height / (bottom - top))
        _, top, _, bottom = font.getbbox("0")
        for digit in "0123456789":
            left, _, right, _ = font.getbbox(digit)
            picture = Image.new("L", (side, side))
            corner = (side - left - right) / 2, (side - top - bottom) / 2
            ImageDraw.Draw(picture).text(corner, digit, fill=255, font=font)
            inked = np.asarray(picture) > 127
            distance = distance_transform_edt(inked) - distance_transform_edt(~inked)
            distances.append(distance.reshape(CELL, OVERSAMPLE, CELL, OVERSAMPLE).mean((1, 3)) / height)
            widths.append((right - left) / height)
    width = np.array(widths, np.float32).reshape(len(FACES), 10)
    return Atlas(np.concatenate(distances).astype(np.float32), width)
