"""Own images: files of every kind as RGB, and files that cannot be used."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.own import pictures, pixels
from pipeline.data.own.folder import Picture
from pipeline.data.own.pictures import Reading
from tests.helpers.drawings import draw, noise, png
from tests.helpers.own_images import get, line


# Kinds of pictures
def loaded(path: Path, size: int | None = None) -> np.ndarray:
    found = pictures.load(Picture(path), Reading(size, frames="first"))
    assert found.image is not None, found.wrong
    return found.image.transpose(1, 2, 0)


def test_grey_is_three_channels(tmp_path: Path) -> None:
    grey = noise(9, 10)
    assert np.array_equal(loaded(draw(tmp_path / "x.png", grey)), np.repeat(grey[..., None], 3, axis=2))
    Image.fromarray(grey > 127).save(tmp_path / "1.png")
    assert np.array_equal(loaded(tmp_path / "1.png")[..., 2], np.where(grey > 127, 255, 0))


def test_sixteen_bits_are_their_upper_eight(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 1 << 16, (9, 10), dtype=np.uint16)
    expected = np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2)
    for name in ("x.png", "x.tif", "x.pgm"):
        assert np.array_equal(loaded(draw(tmp_path / name, deep)), expected), name
    rgb = np.random.default_rng(0).integers(0, 1 << 16, (9, 10, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rgb)
    (tmp_path / "rgb.png").write_bytes(png(16, 2, 10, 9, rows))
    assert np.array_equal(loaded(tmp_path / "rgb.png"), rgb >> 8)


def test_transparency_is_on_white(tmp_path: Path) -> None:
    rgba = noise(9, 10, 4)
    rgba[:4, :, 3], rgba[4:, :, 3] = 255, 0
    shown = loaded(draw(tmp_path / "x.png", rgba))
    assert np.array_equal(shown[:4], rgba[:4, :, :3])
    assert (shown[4:] == 255).all()
    half = np.full((8, 8, 4), (0, 0, 0, 128), np.uint8)
    assert np.abs(loaded(draw(tmp_path / "half.png", half)).astype(int) - 127).max() <= 1
    palette = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8), "P")
    palette.putpalette([v for i in range(256) for v in (i, 255 - i, 7)])
    palette.save(tmp_path / "p.png", transparency=5)
    shown = loaded(tmp_path / "p.png").reshape(64, 3)
    assert shown[4].tolist() == [4, 251, 7]
    assert shown[5].tolist() == [255, 255, 255]


def test_cmyk_and_orientation(tmp_path: Path) -> None:
    cmyk = Image.new("CMYK", (16, 8), (255, 0, 0, 0))
    cmyk.save(tmp_path / "x.jpg")
    assert np.abs(loaded(tmp_path / "x.jpg").astype(int) - (0, 255, 255)).max() < 8
    array = noise(8, 12, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(array).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(loaded(tmp_path / "x.png"), np.rot90(array, -1))


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for name, kind in (("x.gif", "GIF"), ("x.webp", "WEBP"), ("x.jpg", "MPO")):
        frames[0].save(tmp_path / name, kind, save_all=True, append_images=frames[1:])
        assert np.abs(loaded(tmp_path / name).astype(int) - (255, 0, 0)).max() < 8, name


def test_the_square_in_the_middle(tmp_path: Path) -> None:
    array = noise(24, 31, 3)
    path = draw(tmp_path / "x.png", array)
    assert np.array_equal(loaded(path, 24), array[:, 3:27])  # of that size already: not one pixel moves
    means = loaded(draw(tmp_path / "flat.png", np.full((500, 300, 3), 77, np.uint8)), 32)
    assert means.shape == (32, 32, 3)
    assert (means == 77).all()
    # Lines finer than a pixel come out as their mean, not as moiré.
    lines = np.zeros((256, 256), np.uint8)
    lines[:, ::2] = 255
    assert np.abs(loaded(draw(tmp_path / "lines.png", lines), 32).astype(int) - 127).max() <= 8


def test_large_jpegs_keep_their_content(tmp_path: Path) -> None:
    """They are decoded at a fraction of their size: the picture is the same to a few levels."""
    slope = np.add.outer(np.linspace(0, 120, 640), np.linspace(0, 120, 900)).astype(np.uint8)
    Image.fromarray(slope).save(tmp_path / "x.jpg", quality=95)
    whole = np.asarray(pixels.square(Image.fromarray(slope).convert("RGB"), 32)).astype(int)
    assert np.abs(loaded(tmp_path / "x.jpg", 32) - whole).max() <= 3


# What cannot be used
@pytest.mark.filterwarnings("ignore")  # Pillow's own, of what is wrong
def test_pictures_that_cannot_be_used_are_all_counted(workspace: Path) -> None:
    own = workspace / "own"
    for i in range(30):
        draw(own / f"good/{i:02}.png", noise(20, 20, 3, seed=i))
    whole = (own / "good/00.png").read_bytes()
    (own / "good/a-empty.png").touch()
    (own / "good/b-cut.png").write_bytes(whole[:200])
    (own / "good/c-text.jpg").write_text("no picture")
    (own / "good/d-flat.png").write_bytes(png(8, 0, 0, 5, b""))
    (own / "good/e-bomb.png").write_bytes(png(8, 0, 60_000, 60_000, b""))
    (own / "good/f-large.png").write_bytes(png(8, 0, 10_000, 10_000, b""))
    (own / "good/g\n\x1b[31m.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n")
    said = line("own", 16)
    assert said.startswith("own: 7 of 37 pictures cannot be used: own/good/")
    assert said.endswith(" and 2 more; mend them, or leave them out; nothing was written")
    wrong = sorted(own.glob("good/[a-g]*"))
    reasons = {path.name[0]: pictures.load(Picture(path), Reading(16)).wrong for path in wrong}
    assert reasons["a"] == "an empty file"
    assert reasons["b"].startswith("damaged: ")
    assert reasons["c"] == reasons["g"] == "not a picture, or damaged"
    assert reasons["d"]
    assert reasons["e"] == reasons["f"] == "more than 89,478,485 pixels"


@pytest.mark.filterwarnings("ignore")
def test_a_picture_cut_anywhere_is_said_to_be_so(tmp_path: Path) -> None:
    for suffix in ("png", "jpg", "gif", "bmp", "tif", "webp", "ppm"):
        path = draw(tmp_path / f"x.{suffix}", noise(16, 16, 3))
        data = path.read_bytes()
        for length in range(1, len(data) * 3 // 4, max(1, len(data) // 23)):
            path.write_bytes(data[:length])
            assert pictures.load(Picture(path), Reading()).wrong, f"{suffix} {length}"


def test_pixels_without_a_range(tmp_path: Path) -> None:
    for dtype, said in ((np.float32, "floating-point pixels"), (np.int32, "32-bit or signed pixels")):
        Image.fromarray(np.full((8, 8), 1e6, dtype)).save(tmp_path / "x.tif")
        assert pictures.load(Picture(tmp_path / "x.tif"), Reading()).wrong.startswith(said)


def test_several_sizes_without_a_size(workspace: Path) -> None:
    for i in range(6):
        draw(workspace / f"own/{i}.png", noise(8, 8 if i else 9, 3))
    assert line("own") == (
        "own: pictures of 2 sizes; expected one, as params.yaml: data.size is null; "
        "found 5 of 8x8 (1.png, ...), 1 of 9x8 (0.png); set data.size to make them equal"
    )
    assert get("own", 8)["train"][0].shape == (5, 3, 8, 8)
