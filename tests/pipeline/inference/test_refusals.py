"""What the commands refuse, in one line, before anything is written."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.data import store
from tests.helpers.drawings import png
from tests.helpers.inference import G, Z, refused, run

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("encode", "own.h5", "-o", "own.h5", "--force"), "own.h5: is what is read; name another file"),
        (("encode", "none", *Z), "none: not found; expected pictures, a folder of them, or a file of arrays"),
        (("encode", "/dev/zero", *Z), "/dev/zero: not a file; expected pictures"),
        (("encode", "empty", *Z), "empty: no pictures; expected .png, .apng, .jpg"),
        (("encode", "text", *Z), "text: 1 of 1 pictures cannot be used: text (not a picture, or damaged)"),
        (("encode", "png", "-o", "empty"), "empty: expected a name that ends in .h5"),
        (("encode", "png", "-o", "d.h5"), "d.h5: a folder; expected the name of a file, ending in .h5"),
        (("encode", "png", "-o", "no/z.h5"), "no/z.h5: there is no folder no; make it first"),
        (("encode", "png", "-o", "own.h5"), "own.h5: is there already; --force replaces it"),
        (("encode", "png", *Z, "--models", "none"), "none: no such folder; expected red, green and blue"),
        (("encode", "png", *Z, "--models", "empty"), "empty: no models in it; expected red, green and blue"),
        (
            ("encode", "png", *Z, "--split", "test"),
            "--split test: only a file of arrays has splits, and png",
        ),
        (("encode", "own.h5", "png", *Z), "own.h5: a file of arrays beside others; expected it alone"),
        (("encode", "own.h5", *Z, "--split", "extra"), "own.h5: no split extra; found train, test"),
        (("encode", "cut.h5", *Z), "cut.h5: not a whole HDF5 file"),
        (
            ("encode", "small.h5", *Z),
            "small.h5: images are 8x8, but the models' 32x32; images",
        ),
        (("encode", "png", *Z, "--digit", "3"), "--digit 3: these models are told no label; `vaepipe preset"),
        (("encode", "png", *Z, "--device", "cuda:77"), "device cuda:77 cannot be used here ("),
        (
            ("encode", "png", *Z, "--models", "conditional"),
            "these models are told a label: give --digit, one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, or pictures",
        ),
        (
            ("encode", "large.h5", *Z, "--models", "conditional"),
            "a picture is labelled 10, which is no class of these models: 0, 1, 2",
        ),
        (("sample", *G, "--digit", "7"), "--digit 7: these models are told no label"),
        (
            ("sample", *G, "--models", "conditional", "--digit", "10"),
            "--digit 10: expected a class of these models: 0, 1, 2, 3",
        ),
        (("sample", "-o", "g.jpg"), "g.jpg: expected a name that ends in .png"),
        (("sample", "-o", "no/g.png"), "no/g.png: there is no folder no; make it first"),
        (("reconstruct", "png/00.png", "-o", "png/00.png"), "png/00.png: is what is read; name another file"),
        (("interpolate", "png/00.png", "none.png", *G), "none.png: not found"),
        (("interpolate", "png/00.png", "png", *G), "png: a folder; expected a picture"),
        (("interpolate", "png/00.png", "text", *G), "pictures: 1 of 2 pictures cannot be used: text (not a"),
        (("decode", "none.h5", "-o", "out"), "none.h5: not found"),
        (("decode", "png", "-o", "out"), "png: not a file"),
        (
            ("decode", "text", "-o", "out"),
            "text: not a whole latent file; make it again with `vaepipe encode`",
        ),
        (("decode", "own.h5", "-o", "out"), "own.h5: not a latent file; expected one of `vaepipe encode`"),
        (("decode", "good.h5", "-o", "png"), "png: expected a new folder, or an empty one; nothing was"),
        (("decode", "good.h5", "-o", "text"), "text: expected a new folder, or an empty one; nothing was"),
        (("decode", "good.h5", "-o", "link"), "link: expected a new folder, or an empty one; nothing was"),
        (("decode", "good.h5", "-o", "no/out"), "no/out: there is no folder no; make it first"),
        (("decode", "good.h5", "-o", "."), ".: expected the name of something new, not the folder one is in"),
        (
            ("decode", "good.h5", "-o", "out", "--models", "conditional"),
            "good.h5: made with other models (",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(place: Path, arguments: tuple[str, ...], said: str) -> None:
    for name in ("empty", "d.h5"):
        Path(name).mkdir()
    Path("text").write_text("%!PS-Adobe-3.0 EPSF-3.0\n")
    Path("link").symlink_to("empty")
    Path("cut.h5").write_bytes(Path("own.h5").read_bytes()[:500])
    with store.create(Path("small.h5")) as file:
        file.create("test", (2, 3, 8, 8), None)[:] = 0
    with store.create(Path("large.h5")) as file:
        file.create("test", (2, 3, 32, 32), np.array([0, 10], np.uint8))[:] = 0
    assert run("encode", "png/00.png", "-o", "good.h5")[0] == 0
    assert refused(*arguments).startswith(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("encode", "png", *Z, "--bits", "12"), "12 is neither 16 nor 8"),
        (("encode", *Z), "Missing argument"),
        (("encode", "png"), "--out"),
        (("sample", *G, "-n", "0"), "--count"),
        (("interpolate", "a", "b", *G, "--steps", "1"), "--steps"),
    ],
)
def test_options_that_make_no_sense(place: Path, arguments: tuple[str, ...], said: str) -> None:
    status, shown = run(*arguments)
    assert (status, said in " ".join(shown.split())) == (2, True), shown


@pytest.mark.filterwarnings("ignore")  # Pillow's own, of what is wrong
def test_bad_pictures_are_all_named(place: Path) -> None:
    Path("png/a-empty.png").touch()
    Path("png/b-cut.png").write_bytes(Path("png/00.png").read_bytes()[:200])
    Path("png/c-large.png").write_bytes(png(8, 0, 10_000, 10_000, b""))
    for name in "defg":
        Path(f"png/{name}.png").write_text("no picture")
    said = refused("encode", "png", *Z)
    assert said.startswith("png: 7 of 37 pictures cannot be used: png/a-empty.png (an empty file), png/b-cut")
    assert "png/c-large.png (more than 89,478,485 pixels)" in said
    assert said.endswith(" and 2 more; mend them, or leave them out; nothing was written")
