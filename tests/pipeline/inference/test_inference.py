"""The commands that use trained models: what they write, and what they refuse."""

import doctest
import io
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from bench import codec as codec_bench
from pipeline.cli import main as cli
from pipeline.cli import models as cli_models
from pipeline.common.errors import PipelineError
from pipeline.data import store
from pipeline.data.own import pictures
from pipeline.evaluation.reconstruction import ImageQuality
from pipeline.inference import codec, grids, inputs, latent_file
from tests.helpers.checkout import ROOT, Vaepipe
from tests.helpers.drawings import draw, noise, png
from tests.helpers.models import trained
from vae import load
from vae.images import to_bytes

pytestmark = pytest.mark.usefixtures("one_thread")

Crops = tuple[np.ndarray, np.ndarray]


def run(*arguments: object) -> tuple[int, str]:
    """A command's exit status, and what it says: its output, or its error."""
    done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if isinstance(done.exception, PipelineError):
        return done.exception.status, str(done.exception)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def refused(*arguments: object) -> str:
    """What is said, in one line, by a command that writes nothing."""
    before = sorted(Path().rglob("*"))
    status, said = run(*arguments)
    assert status == 1, said
    assert said.isprintable()
    assert sorted(Path().rglob("*")) == before
    return said


@pytest.fixture
def place(workspace: Path, folders: dict[str, Path], crops: Crops) -> Path:
    """A folder with `models`, `conditional`, `png/*.png` and `own.h5`, of 30 crops."""
    (workspace / "models").symlink_to(folders["separate"])
    (workspace / "conditional").symlink_to(folders["conditional"])
    images, labels = crops[0][200:230], crops[1][200:230]
    for n, image in enumerate(images):
        draw(workspace / f"png/{n:02}.png", image.transpose(1, 2, 0))
    with store.create(workspace / "own.h5") as file:
        file.create("train", (5, 3, 32, 32), labels[:5])[:] = images[:5]
        file.create("test", images.shape, labels)[:] = images
    return workspace


# Latent files


@pytest.mark.parametrize("bits", [16, 8])
def test_there_and_back(place: Path, crops: Crops, bits: int) -> None:
    status, said = run("encode", "png", "-o", "z.h5", "--bits", bits)
    assert status == 0, said
    before, after = sum(p.stat().st_size for p in Path("png").iterdir()), Path("z.h5").stat().st_size
    assert f"z.h5: 30 pictures, {before:,} bytes -> {after:,} bytes, {before / after:.1f} times" in said
    assert run("decode", "z.h5", "-o", "out") == (0, "decode: 30 images\nout: 30 pictures\n")
    assert sorted(p.name for p in Path("out").iterdir()) == [f"{n:02}.png" for n in range(30)]
    model, images = load("models"), crops[0][200:230]
    found = np.stack([np.asarray(Image.open(f"out/{n:02}.png")).transpose(2, 0, 1) for n in range(30)])
    near = 1 if bits == 16 else 3
    assert np.abs(found - model.reconstruct(images) * 255).max() < near
    # The PSNR that is said is the report's measure, of what was stored.
    with latent_file.read(Path("z.h5")) as latents:
        [(_, z)] = latents.blocks(1000)
    likeness = ImageQuality()
    likeness.add(torch.from_numpy(model.decode(z)), torch.from_numpy(images) / 255)
    assert f"PSNR {likeness.means()['psnr']:.2f} dB" in said


def test_the_psnr_is_the_reports(crops: Crops) -> None:
    found, images = np.random.default_rng(0).random((7, 3, 32, 32)), crops[0][:7]
    likeness = ImageQuality()
    likeness.add(torch.from_numpy(found), torch.from_numpy(images) / 255)
    assert codec.psnr(found, images).mean() == pytest.approx(likeness.means()["psnr"], rel=1e-6)
    assert codec.psnr(images[:1] / 255, images[:1]) == np.inf


def test_a_latent_file_is_little_more_than_its_numbers(place: Path, crops: Crops) -> None:
    """And equal pictures are equal bytes."""
    with store.create(Path("many.h5")) as file:
        file.create("test", (1000, 3, 32, 32), None)[:] = np.tile(crops[0][:100], (10, 1, 1, 1))
    for bits in (16, 8):
        for name in ("a.h5", "b.h5"):
            assert run("encode", "many.h5", "-o", name, "--bits", bits, "--force")[0] == 0
        assert Path("a.h5").stat().st_size - 1000 * 18 * bits // 8 < 4000
        assert Path("a.h5").read_bytes() == Path("b.h5").read_bytes()


def test_eight_bits_are_half_a_step_off() -> None:
    z = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32) * [1, 1e-6, 1e4, 0]
    steps = latent_file.Steps.between(z.min(0).astype(np.float32), z.max(0).astype(np.float32))
    stored = latent_file.store(z.astype(np.float32), steps)
    assert (stored.min(0).tolist(), stored.max(0).tolist()) == ([0] * 4, [255, 255, 255, 0])
    assert (np.abs(latent_file.restore(stored, steps) - z) <= steps.scale_K * 0.501).all()


def test_an_hdf5_file_and_labels(place: Path, crops: Crops) -> None:
    assert run("encode", "own.h5", "-o", "z.h5", "--models", "conditional")[0] == 0
    with latent_file.read(Path("z.h5")) as latents:
        assert np.array_equal(latents.contents.labels, crops[1][200:230])
        assert latents.contents.names[29] == "test-000029"
        [(_, z)] = latents.blocks(1000)
    expected = load("conditional").encode(crops[0][200:230], crops[1][200:230])
    np.testing.assert_allclose(z, expected, atol=5e-3)
    assert run("decode", "z.h5", "-o", "out", "--models", "conditional")[0] == 0
    assert run("encode", "own.h5", "-o", "t.h5", "--split", "train")[1].count("5 pictures") == 1
    assert run("encode", "png", "-o", "d.h5", "--models", "conditional", "--digit", 3)[0] == 0
    with latent_file.read(Path("d.h5")) as latents:
        assert np.array_equal(latents.contents.labels, [3] * 30)


def test_pictures_of_any_size_and_kind(place: Path) -> None:
    draw(Path("mine/a/tall.jpg"), noise(90, 40, 3))
    draw(Path("mine/grey.gif"), noise(8, 9))
    draw(Path("mine/.hidden.png"), noise(8, 9))
    draw(Path("large.bmp"), noise(300, 400, 3))
    Path("mine/notes.txt").write_text("not a picture")
    status, said = run("encode", "mine", "large.bmp", "-o", "z.h5")
    assert (status, "3 pictures" in said) == (0, True)
    assert run("decode", "z.h5", "-o", "out")[0] == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["a-tall.png", "grey.png", "large.png"]


def test_models_that_are_not_square(place: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 12), np.uint8)
    trained(Path("flat"), images, latent=2, hidden=(4,))
    draw(Path("flats/fits.png"), images[0].transpose(1, 2, 0))
    assert run("encode", "flats", "-o", "z.h5", "--models", "flat")[0] == 0
    draw(Path("flats/other.png"), noise(12, 8, 3))
    said = refused("encode", "flats", "-o", "y.h5", "--models", "flat")
    assert (
        "flats: 1 of 2 pictures cannot be used: flats/other.png (8x12 pixels; the models are of 12x8" in said
    )


def test_batches_and_threads_change_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("encode", "png", "-o", "a.h5")[0] == 0
    monkeypatch.setattr("vae.pretrained.BATCH", 7)
    assert run("encode", "png", "-o", "b.h5")[0] == 0
    with latent_file.read(Path("a.h5")) as a, latent_file.read(Path("b.h5")) as b:
        np.testing.assert_allclose(a.stored[:], b.stored[:], atol=1e-2)
        assert a.contents.names == b.contents.names


# Names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a.png", "b/a.png", "c.tar.jpg", "x.y"], ["a", "b-a", "c.tar", "x.y"]),
        (["a.png", "a.jpg", "A.gif", "a-2.png"], ["a", "a-2", "A-3", "a-2-2"]),
        (["../../etc/passwd", "/etc/passwd", "..\\up.png"], ["etc-passwd", "etc-passwd-2", "up"]),
        (["..", "...png", "", ".hidden", "C:\\x"], ["picture", "picture-2", "picture-3", "hidden", "C_-x"]),
        (["a\0b", "n\nl\x1b[31m", "<b>|?*", "é林"], ["a_b", "n_l_[31m", "_b____", "é林"]),
        (["x" * 250, "林" * 80], ["x" * 200, "林" * 66]),
    ],
)
def test_names_stay_in_their_folder(names: list[str], expected: list[str]) -> None:
    assert codec.filenames(names) == [f"{name}.png" for name in expected]


def test_a_thousand_pictures_of_one_name() -> None:
    assert len({name.casefold() for name in codec.filenames(["a.png", "A.png"] * 5000)}) == 10_000


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


# What is refused


Z = ("-o", "z.h5")
G = ("-o", "g.png")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("encode", "own.h5", "-o", "own.h5", "--force"), "own.h5: is what is read; name another file"),
        (("encode", "none", *Z), "none: not found; expected pictures, a folder of them, or an HDF5 file"),
        (("encode", "/dev/zero", *Z), "/dev/zero: not a file; expected pictures"),
        (("encode", "empty", *Z), "empty: no pictures; expected .png, .jpg"),
        (("encode", "text", *Z), "text: 1 of 1 pictures cannot be used: text (not a picture, or damaged)"),
        (("encode", "png", "-o", "empty"), "empty: expected a name that ends in .h5"),
        (("encode", "png", "-o", "d.h5"), "d.h5: a folder; expected the name of a file, ending in .h5"),
        (("encode", "png", "-o", "no/z.h5"), "no/z.h5: there is no folder no; make it first"),
        (("encode", "png", "-o", "own.h5"), "own.h5: is there already; --force replaces it"),
        (("encode", "png", *Z, "--models", "none"), "none: no such folder; expected red, green and blue"),
        (("encode", "png", *Z, "--models", "empty"), "empty: no models in it; expected red, green and blue"),
        (("encode", "png", *Z, "--split", "test"), "--split test: only an HDF5 file has splits, and png is"),
        (("encode", "own.h5", "png", *Z), "own.h5: an HDF5 file beside others; expected it alone"),
        (("encode", "own.h5", *Z, "--split", "extra"), "own.h5: no split extra; found train, test"),
        (("encode", "cut.h5", *Z), "cut.h5: not a whole HDF5 file"),
        (
            ("encode", "small.h5", *Z),
            "small.h5: images are (3, 8, 8), but the models' (3, 32, 32); images",
        ),
        (("encode", "png", *Z, "--digit", "3"), "--digit 3: these models are told no label; `vaepipe preset"),
        (("encode", "png", *Z, "--device", "cuda:77"), "device cuda:77 cannot be used here ("),
        (
            ("encode", "png", *Z, "--models", "conditional"),
            "these models are told a label: give --digit, from 0 to 9, or an HDF5 file with labels",
        ),
        (
            ("encode", "large.h5", *Z, "--models", "conditional"),
            "a label is 10, but those of the models end at 9",
        ),
        (("sample", *G, "--digit", "7"), "--digit 7: these models are told no label"),
        (
            ("sample", *G, "--models", "conditional", "--digit", "10"),
            "--digit 10: expected a label of these models, from 0 to 9",
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
        (("sample", *G, "--digit", "-1"), "--digit"),
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
    assert said.endswith(" and 2 more; mend or remove them; nothing was written")


def test_force_replaces(place: Path) -> None:
    assert run("encode", "png/00.png", *Z)[0] == run("encode", "png", *Z, "--force")[0] == 0
    with latent_file.read(Path("z.h5")) as latents:
        assert len(latents) == 30


def test_latents_beyond_sixteen_bits(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae.pretrained.Autoencoder.encode", lambda self, x, y: np.full((len(x), 18), 1e6))
    assert refused("encode", "png", *Z) == "the latents are beyond what 16 bits hold; nothing was written"


# Latent files from elsewhere


def external(file: h5py.File) -> None:
    del file["z"]
    file["z"] = h5py.ExternalLink("other.h5", "z")


def stored_outside(file: h5py.File) -> None:
    del file["z"]
    Path("secret").write_bytes(bytes(30 * 18 * 2))
    file.create_dataset("z", (30, 18), np.float16, external=[("secret", 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File) -> None:
    del file["z"]
    layout = h5py.VirtualLayout((30, 18), np.float16)
    layout[:] = h5py.VirtualSource("other.h5", "z", (30, 18))
    file.create_virtual_dataset("z", layout)


def soft(file: h5py.File) -> None:
    file.move("z", "other")
    file["z"] = h5py.SoftLink("/other")


def absurd(file: h5py.File) -> None:
    """A petabyte that was never written."""
    del file["z"]
    file.create_dataset("z", (1 << 45, 18), np.float16)


def bomb(file: h5py.File) -> None:
    """One chunk of 2 GB, of a few bytes."""
    del file["names"]
    file.create_dataset("names", (30,), "S100", chunks=(1 << 20,), maxshape=(None,), compression=9)


def other(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        if value is not None:
            file[name] = value

    return change


def attribute(name: str, value: Any) -> Callable[[h5py.File], None]:
    return lambda file: file.attrs.__setitem__(name, value)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (external, "expected a dataset z in the file itself; found none"),
        (soft, "expected a dataset z in the file itself; found none"),
        (stored_outside, "/z: its numbers are in other files; expected them in this one"),
        (virtual, "/z: its numbers are in other files; expected them in this one"),
        (absurd, "more than there are in the file"),
        (bomb, "/names: chunks of 104,857,600 bytes; expected at most 67,108,864"),
        (other("z", None), "expected a dataset z in the file itself"),
        (other("z", np.zeros((30, 18))), "z is (30, 18) float64"),
        (other("z", np.zeros((30, 18), ">f2")), "z is (30, 18) >f2"),
        (other("z", np.zeros(30, np.float16)), "z is (30,)"),
        (other("z", np.zeros((0, 18), np.float16)), "z is (0, 18)"),
        (other("z", np.zeros((30, 17), np.float16)), "its checksum is another"),
        (other("z", h5py.Empty(np.float16)), "not a whole latent file"),
        (other("names", np.array([b"a"] * 29)), "names are (29,)"),
        (other("names", ["a"] * 30), "/names: says that it holds"),
        (other("names", np.array([b"a" * 300] * 30)), "names are (30,) |S300"),
        (attribute("format", "other"), "not a latent file"),
        (attribute("format", np.bytes_("other")), "not a latent file"),
        (attribute("version", 2), "a latent file of version 2, not 1; make it again with `vaepipe encode`"),
        (attribute("version", "x"), "version is no whole number"),
        (attribute("bits", 8), "z is (30, 18) float16"),
        (attribute("crc32", 1), "its checksum is another"),
        (attribute("image", [3, 32]), "image is not three whole numbers"),
        (attribute("image", [3, 64, 64]), "(sizes or labels are not its models')"),
        (attribute("models", np.bytes_("0" * 64)), "made with other models (000000000000...), not these ("),
        (attribute("models", np.bytes_(b"\x1b[31m\n\xff")), "made with other models ("),
    ],
)
def test_latent_files_that_do_harm(place: Path, harm: Callable[[h5py.File], None], said: str) -> None:
    assert run("encode", "png", *Z)[0] == 0
    shutil.copy("z.h5", "other.h5")
    with h5py.File("z.h5", "r+") as file:
        harm(file)
    found = refused("decode", "z.h5", "-o", "out")
    assert found.startswith("z.h5: ")
    assert said in found


def test_latents_that_are_no_numbers(place: Path) -> None:
    """A file that is sound in every other way."""
    model = load("models")
    contents = latent_file.Contents(model.fingerprint, model.image_shape, None, None, ["a"])
    with latent_file.create(Path("z.h5"), contents, 18) as z:
        z[:] = np.nan
    assert "z.h5: not a whole latent file" in refused("decode", "z.h5", "-o", "out")


def test_a_latent_file_cut_or_flipped_anywhere(place: Path) -> None:
    assert run("encode", "png", *Z, "--bits", 8)[0] == 0
    whole, model = Path("z.h5").read_bytes(), load("models")
    for at in range(0, len(whole), 97):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]):
            Path("y.h5").write_bytes(data)
            try:
                codec.decode(Path("y.h5"), model, Path("out"))
            except PipelineError:
                assert not Path("out").exists()
            else:  # the byte was one that counts for nothing
                assert len(data) == len(whole)
                shutil.rmtree("out")


# As a person types it


def test_a_command_of_its_own(place: Path, vaepipe: Vaepipe) -> None:
    done = vaepipe("encode", "png", "none.png", "-o", "z.h5")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: none.png: not found")


def test_neither_ray_nor_dvc_nor_what_is_slow_to_load(place: Path) -> None:
    code = (
        "import sys\nfrom pipeline.cli.main import main\n"
        "for line in ('encode png -o z.h5', 'decode z.h5 -o out', 'sample -o s.png'):\n"
        "    sys.argv = ['vaepipe', *line.split()]\n"
        "    try: main()\n"
        "    except SystemExit as done: assert not done.code, line\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not {"ray", "dvc", "matplotlib", "torchmetrics", "scipy", "pandas", "torch._dynamo"} & loaded


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


def test_a_comparison_with_other_codecs(place: Path) -> None:
    rows = list(codec_bench.rows(Path("models"), Path("png")))
    assert [row.name for row in rows] == ["PNG", "WebP, quality 0", "latents, 16 bits", "latents, 8 bits"]
    sizes = [row.size for row in rows]
    assert sizes[0] == pytest.approx(sum(p.stat().st_size for p in Path("png").iterdir()) / 30, rel=0.1)
    assert sizes[0] > max(sizes[1:])
    _, said = run("encode", "png", "-o", "z.h5")
    assert f"PSNR {rows[2].psnr:.2f} dB" in said
    assert sizes[2] == Path("z.h5").stat().st_size / 30


# What the documentation says


def readme() -> list[str]:
    """The indented blocks of the README's section."""
    [section] = re.findall(
        r"^## Use the trained models\n(.+?)^## ", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return [textwrap.dedent(block) for block in re.findall(r"(?:^    .+\n)+", section, re.MULTILINE)]


def test_the_readmes_commands_and_its_session(workspace: Path, crops: Crops) -> None:
    images = crops[0][:100]
    trained(Path("models"), images[:40], latent=20, hidden=(8,))
    Path("data").mkdir()
    with store.create(Path("data/svhn.h5")) as file:
        file.create("test", images.shape, None)[:] = images
    for name in ("photos/1.png", "a.png", "b.png"):
        draw(Path(name), noise(40, 40, 3))
    commands, session = readme()
    for command in commands.splitlines():
        name, *arguments = shlex.split(command, comments=True)
        assert name == "vaepipe"
        assert run(*arguments)[0] == 0, command
    test = doctest.DocTestParser().get_doctest(session, {}, "README", "README.md", 0)
    assert test.examples
    results = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF).run(test)
    assert results.failed == 0


def test_the_page_names_every_option_and_limit() -> None:
    page = (ROOT / "docs/using.md").read_text()
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    for name in ("encode", "decode", "reconstruct", "sample", "interpolate"):
        assert f"`vaepipe {name}" in page
        for option in (param for param in commands[name].params if param.param_type_name == "option"):
            assert re.search(rf"(?:{'|'.join(option.opts)})[ `]", page), option.name
    for limit in (pictures.MOST_PIXELS, cli_models.MOST_SHOWN, latent_file.LONGEST):
        assert f"{limit:,}" in page


# Disks that are full, and HDF5 from elsewhere


@pytest.mark.parametrize("room", [4096, 40_000])
def test_latents_on_a_full_disk(place: Path, room: int) -> None:
    with store.create(place / "own.h5") as file:
        file.create("test", (1500, 3, 32, 32), None)[:] = 0
    disk = place / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "none", disk], check=False)
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    try:
        message = refused("encode", "own.h5", "-o", "disk/z.h5")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
    assert message == "disk/z.h5: cannot be written: No space left on device; nothing was changed"


def _group(file: h5py.File, name: str) -> None:
    del file[name]
    file.create_group(name)


def _outside(file: h5py.File) -> None:
    del file["test/labels"]
    file["test"].create_dataset("labels", (30,), "u1", external="/etc/passwd")


def _linked(file: h5py.File) -> None:
    del file["test"]
    file["test"] = h5py.ExternalLink("own2.h5", "/test")


def _endless(file: h5py.File) -> None:
    del file["test/images"]
    file["test"].create_dataset("images", (10**9, 3, 32, 32), "u1", chunks=(1, 3, 32, 32))


def _unsized(file: h5py.File) -> None:
    file["test"].attrs["name"] = "x"


def _numbered(file: h5py.File) -> None:
    file["test"].create_dataset("classes", data=np.arange(10))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: _group(file, "test/images"), "expected a dataset images in the file itself"),
        (lambda file: _group(file, "test/labels"), "expected a dataset labels in the file itself"),
        (_outside, "/test/labels: its numbers are in other files"),
        (_linked, "split test is not in the file itself"),
        (_endless, "1,000,000,000 images in test; expected at most 5,000,000"),
        (_unsized, "not in the layout of data/svhn.h5"),
        (_numbered, "not in the layout of data/svhn.h5"),
    ],
)
def test_hdf5_that_is_not_as_ours(place: Path, change: Callable[[h5py.File], None], said: str) -> None:
    with h5py.File("own.h5", "r+") as file:
        change(file)
    message = refused("encode", "own.h5", *Z)
    assert message.startswith("own.h5: ")
    assert said in message
