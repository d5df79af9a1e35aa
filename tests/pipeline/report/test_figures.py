"""Pictures of the report: tiles in their places, rows that fit, thumbnails."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pipeline.report import figures, page


def test_wide_pictures_are_shown_as_thumbnails_among_samples() -> None:
    images = np.zeros((2, 3, 100, 200), np.uint8)
    images[..., 1::3] = 90  # a third of each square of 3 pixels
    small = figures.thumbnails(images)
    assert small.shape == (2, 3, 33, 66)
    assert (small == 30).all()
    assert figures.thumbnails(small) is small


@pytest.mark.parametrize(("width", "columns", "scale"), [(8, 8, 8), (32, 8, 2), (48, 8, 2), (256, 2, 1)])
def test_rows_hold_what_a_page_has_room_for(width: int, columns: int, scale: int) -> None:
    images = np.zeros((5, 3, 8, width), np.uint8)
    [band, *_] = page._bands(images, images, images)
    picture = Image.open(io.BytesIO(base64.b64decode(band.split(",")[1])))
    assert picture.width == scale * (columns * (width + figures.GAP) - figures.GAP)


def test_tiles_are_where_they_belong() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    uri = figures.grid(figures.channels(images), scale=2)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))[::2, ::2]
    step = 8 + figures.GAP
    assert picture.shape == (4 * step - figures.GAP, 3 * step - figures.GAP, 4)
    assert np.array_equal(picture[:8, step : step + 8, :3], images[1].transpose(1, 2, 0))
    green = picture[2 * step : 2 * step + 8, :8]
    assert np.array_equal(green[..., 0], images[0, 1])
    assert np.array_equal(green[..., 2], images[0, 1])
    assert not picture[8 : 8 + figures.GAP].any()  # gaps are transparent
