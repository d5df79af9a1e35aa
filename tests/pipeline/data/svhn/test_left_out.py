"""Digits that cannot be cropped: left out, counted, listed."""

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pipeline.common import paths
from pipeline.data.svhn.digitstruct import Box
from pipeline.stages import convert
from tests.helpers.archives import FINE, PHOTO, fails, images, many, named, packed, unpacked
from tests.helpers.checkout import CUT


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ((FINE, b"no picture"), "odd.png (not a whole PNG: "),
        ((FINE, PHOTO[:60]), "odd.png (not a whole PNG: "),
        ((FINE, None), "odd.png (no such photo)"),
        ((Box(5, 5, 0, 20, 3), PHOTO), "odd.png (a box of 0x20 pixels)"),
        ((Box(5, 5, 10, -1, 3), PHOTO), "odd.png (a box of 10x-1 pixels)"),
        ((Box(float("nan"), 5, 10, 20, 3), PHOTO), "odd.png (a box that is nowhere)"),
        ((Box(5, 5, 10, 20, 11), PHOTO), "odd.png (a digit labelled 11; expected 1 to 10)"),
        ((Box(500, 5, 10, 20, 3), PHOTO), "odd.png (a box outside its 30x40 pixels)"),
        ((Box(5, 5, 1e4, 20, 3), PHOTO), "odd.png (a box far larger than its 30x40 pixels)"),
        ((Box(5, 5, 1e200, 20, 3), PHOTO), "odd.png (a box of 1e+200x20 pixels)"),
        ((Box(5, 5, 1e-20, 1e-20, 3), PHOTO), "odd.png (a box of 1e-20x1e-20 pixels)"),
        ((Box(1e17, 5, 10, 20, 3), PHOTO), "odd.png (a box at 1e+17, 5)"),
    ],
)
def test_what_is_left_out_is_counted_and_listed(
    full: Path, bad: tuple[Box, bytes | None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    many(100, odd=bad)
    convert.run(*CUT)
    assert images("train")[0].shape == (100, 3, 32, 32)
    assert "100 digits of 101 photos, 1 left out; " in images("train")[2]
    printed = capsys.readouterr().err
    assert f"train.tar.gz: 1 of 101 digits left out: {said}" in printed
    assert Path(".vaepipe/left-out-train.txt").read_text().startswith(said)


def test_the_list_of_what_was_left_out_is_of_the_last_run(full: Path) -> None:
    many(100, odd=(FINE, None))
    convert.run(*CUT)
    many(100)
    convert.run(*CUT)
    assert not Path(".vaepipe/left-out-train.txt").exists()


def test_more_than_a_hundredth_left_out_is_an_error(full: Path) -> None:
    many(99, **{f"odd{n}": (FINE, None) for n in range(7)})
    message = fails()
    assert "data/raw/train.tar.gz: 7 of 106 digits left out: odd0.png (no such photo), " in message
    assert message.endswith(
        "odd4.png (no such photo), ...; all are listed in .vaepipe/left-out-train.txt; "
        "at most 1% may be: mend the source"
    )


BOUNDED = """
import resource, sys
from pipeline.stages import convert
start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
convert.run(32, 0.1, "hidden")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)
"""


@pytest.mark.slow
def test_a_photo_of_a_hundred_megapixels_is_not_unpacked(full: Path) -> None:
    huge = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(huge, "PNG")
    many(100, odd=(FINE, huge.getvalue()))
    done = subprocess.run([sys.executable, "-c", BOUNDED], capture_output=True, text=True, check=True)
    assert "odd.png (more than 4,000,000 pixels)" in done.stderr
    assert int(done.stdout) < 60  # MiB more than with the modules alone; unpacked it has 286


def test_a_photo_of_one_line_of_a_million_pixels(full: Path) -> None:
    line = io.BytesIO()
    Image.new("L", (1_000_000, 1)).save(line, "PNG")
    many(100, odd=(Box(0, 0, 90_000, 1, 3), line.getvalue()))
    convert.run(*CUT)
    assert "odd.png (a box far larger" in Path(".vaepipe/left-out-train.txt").read_text()


def test_a_photo_that_is_twice_in_the_archive_counts_once(full: Path) -> None:
    members = unpacked(paths.archive("train"))
    packed(paths.archive("train"), members, named("train/1.png", members["train/2.png"]))
    convert.run(*CUT)
    assert len(images("train")[0]) == 60


def test_other_members_are_passed_over(full: Path) -> None:
    members = unpacked(paths.archive("train"))
    packed(
        paths.archive("train"), members, named("train/see_bboxes.m"), named("._train"), named("other/1.png")
    )
    convert.run(*CUT)
    assert len(images("train")[0]) == 60
