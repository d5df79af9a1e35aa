"""Grids of pictures: reconstructions, samples and interpolations, and pictures too large."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.inference import grids, inputs
from tests.helpers.inference import Z, refused, run
from tests.helpers.models import Crops
from vae import load
from vae.images import to_bytes

pytestmark = pytest.mark.usefixtures("one_thread")


# Grids
def size(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
        assert picture.mode == "RGB"
        return picture.size


def test_grids(place: Path, crops: Crops) -> None:
    assert run("reconstruct", "png", "-n", 4, "-o", "grid.png") == (
        0,
        "grid.png: 4 pictures, each above its reconstruction\n",
    )
    with Image.open("grid.png") as picture:
        shown = np.asarray(picture)
    # Four columns of one pair; a crop's pixels are squares of 6.
    assert shown.shape == (2 * 14 + 2 * 192 + 4, 2 * 14 + 4 * 192 + 3 * 4, 3)
    assert np.array_equal(shown[14 : 14 + 192 : 6, 14 : 14 + 192 : 6], crops[0][200].transpose(1, 2, 0))
    assert run("sample", "-n", 64, "-o", "s.png")[0] == 0
    assert size("s.png") == (1080, 1080)
    assert run("interpolate", "png/00.png", "png/01.png", "-o", "i.png", "--steps", 3)[0] == 0
    assert size("i.png") == (2 * 14 + 5 * 192 + 2 * 4 + 2 * 14, 2 * 14 + 192)
    assert run("sample", "-n", 1, "-o", "s.png")[0] == 0  # over the other one


def test_samples_are_the_reports_and_of_a_digit(place: Path) -> None:
    model = load("conditional")
    for arguments, labels, columns in (([], [*range(10), 0, 1], 10), (["--digit", 7], [7] * 12, 4)):
        assert run("sample", "-n", 12, "-o", "s.png", "--models", "conditional", *arguments)[0] == 0
        expected = to_bytes(model.sample(12, labels=labels))
        grids.write(Path("e.png"), grids.rows(expected, columns))
        assert Path("s.png").read_bytes() == Path("e.png").read_bytes()
    first = Path("s.png").read_bytes()
    assert (
        run("sample", "-n", 12, "-o", "s.png", "--models", "conditional", "--digit", 7, "--seed", 1)[0] == 0
    )
    assert Path("s.png").read_bytes() != first


@pytest.mark.parametrize(
    ("count", "high", "expected"), [(1, 1, 1), (2, 1, 2), (7, 1, 4), (30, 1, 6), (64, 1, 8), (64, 2, 16)]
)
def test_columns(count: int, high: int, expected: int) -> None:
    assert grids.columns(count, high) == expected


@pytest.mark.slow
def test_a_huge_picture_takes_no_memory(place: Path) -> None:
    """100 megapixels, all there: 12 KB of file."""
    buffer = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(buffer, "PNG")
    Path("huge.png").write_bytes(buffer.getvalue())
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom pipeline.inference import inputs\n"
        "model = inputs.models(Path('models'), 'cpu')\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nbefore = peak()\n"
        "with inputs.source([Path('huge.png')], model) as source:\n"
        "    try: list(source.blocks())\n"
        "    except Exception as error: print(error)\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    said, grown = done.stdout.splitlines()
    assert "huge.png (more than 89,478,485 pixels)" in said
    assert int(grown) < 30_000  # KB


def test_a_file_too_large_for_a_picture(place: Path) -> None:
    with Path("sparse.png").open("wb") as file:
        file.truncate(inputs.MOST_BYTES + 1)
    assert refused("encode", "sparse.png", *Z).startswith(
        "sparse.png: 1,073,741,825 bytes; expected a picture"
    )
