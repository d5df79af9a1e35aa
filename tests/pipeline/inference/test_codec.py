"""Encoding and decoding: what goes in and comes out, at which size, under which names."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench import codec as codec_bench
from pipeline.data import store
from pipeline.evaluation.reconstruction import ImageQuality
from pipeline.inference import codec, latent_file
from tests.helpers.arrays import equal
from tests.helpers.checkout import Vaepipe
from tests.helpers.drawings import draw, noise
from tests.helpers.inference import Z, refused, run
from tests.helpers.models import Crops, trained
from vae import load

pytestmark = pytest.mark.usefixtures("one_thread")


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
        assert equal(latents.contents.labels, crops[1][200:230])
        assert latents.contents.names[29] == "test-000029"
        [(_, z)] = latents.blocks(1000)
    expected = load("conditional").encode(crops[0][200:230], crops[1][200:230])
    np.testing.assert_allclose(z, expected, atol=5e-3)
    assert run("decode", "z.h5", "-o", "out", "--models", "conditional")[0] == 0
    assert run("encode", "own.h5", "-o", "t.h5", "--split", "train")[1].count("5 pictures") == 1
    assert run("encode", "png", "-o", "d.h5", "--models", "conditional", "--digit", 3)[0] == 0
    with latent_file.read(Path("d.h5")) as latents:
        assert equal(latents.contents.labels, [3] * 30)


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


def test_force_replaces(place: Path) -> None:
    assert run("encode", "png/00.png", *Z)[0] == run("encode", "png", *Z, "--force")[0] == 0
    with latent_file.read(Path("z.h5")) as latents:
        assert len(latents) == 30


def test_latents_beyond_sixteen_bits(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vae.pretrained.Autoencoder.encode", lambda self, x, y: np.full((len(x), 18), 1e6))
    assert refused("encode", "png", *Z) == "the latents are beyond what 16 bits hold; nothing was written"


# As a person types it
@pytest.mark.slow
def test_a_command_of_its_own(place: Path, vaepipe: Vaepipe) -> None:
    done = vaepipe("encode", "png", "none.png", "-o", "z.h5")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: none.png: not found")


@pytest.mark.slow
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


def test_a_comparison_with_other_codecs(place: Path) -> None:
    rows = list(codec_bench.rows(Path("models"), Path("png")))
    assert [row.name for row in rows] == ["PNG", "WebP, quality 0", "latents, 16 bits", "latents, 8 bits"]
    sizes = [row.size for row in rows]
    assert sizes[0] == pytest.approx(sum(p.stat().st_size for p in Path("png").iterdir()) / 30, rel=0.1)
    assert sizes[0] > max(sizes[1:])
    _, said = run("encode", "png", "-o", "z.h5")
    assert f"PSNR {rows[2].psnr:.2f} dB" in said
    assert sizes[2] == Path("z.h5").stat().st_size / 30
