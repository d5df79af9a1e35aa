"""Own images: folders of pictures and .npz files, from the download to the report."""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common import paths
from pipeline.common.errors import PipelineError, printable
from pipeline.data import store
from pipeline.data.own import holdout, npz, pictures
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from pipeline.experiment.params import SyntheticConfig
from pipeline.stages import convert, download, merge, split
from pipeline.stages.download import DownloadConfig
from tests.helpers.checkout import CUT, ROOT, Vaepipe
from tests.helpers.drawings import draw, noise, png
from tests.helpers.models import model, square, start
from vae.modelfile import save_model

UNUSED = SyntheticConfig(1, 1, 1, 0)
Sets = dict[str, tuple[np.ndarray, np.ndarray | None]]


def get(source: str, size: int | None = None, test: float = 0.2) -> Sets:
    """Images and labels of each split in svhn.h5, once channel files were seen to hold the same."""
    download.run(DownloadConfig(source, size=size, test=test), UNUSED)
    convert.run(*CUT)
    split.run()
    with store.read(paths.IMAGES, dimensions=4) as splits:
        sets = {name: (s.images[:], s.labels) for name, s in splits.items()}
    for c, component in enumerate(paths.COLOURS):
        with store.read(paths.channel(component), dimensions=3) as splits:
            for name, (images, labels) in sets.items():
                assert np.array_equal(splits[name].images[:], images[:, c])
                assert np.array_equal(splits[name].labels, labels)
    return sets


def line(source: str, size: int | None = None, test: float = 0.2, *, extra: bool = False) -> str:
    """What is said of a source, in one line, with nothing written."""
    with pytest.raises(PipelineError) as caught:
        download.run(DownloadConfig(source, extra=extra, size=size, test=test), UNUSED)
    said = str(caught.value)
    assert said.isprintable()
    assert not paths.RAW.exists()
    assert not list(Path().glob("data/.*"))
    return said


# Which pictures, in which order, of which class


def test_class_folders_in_train_and_test(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = noise(9, 12, 10, 3)
    names = ["train/cat/1", "train/cat/2", "train/bird/1", "train/ape/1", "train/ape/2", "train/ape/3/deep"]
    for name, array in zip([*names, "test/cat/a", "test/dog/b", "test/dog/c"], drawn, strict=True):
        draw(workspace / f"own/{name}.png", array)
    (workspace / "own/README").write_text("about")
    (workspace / "own/train/cat/.DS_Store").write_bytes(b"\0")
    (workspace / "own/train/cat/._1.png").write_bytes(b"\0")
    (workspace / "own/__MACOSX/train").mkdir(parents=True)
    draw(workspace / "own/val/cat/1.png", noise(8, 8))
    sets = get("own")
    assert "left out 2 other files: own/val/cat/1.png, own/README\n" in capsys.readouterr().err
    by_class = {0: [3, 4, 5], 1: [2], 2: [0, 1]}  # ape, bird, cat; dog is 3
    images, labels = sets["train"]
    assert labels is not None
    for label, members in by_class.items():
        assert np.array_equal(images[labels == label], drawn[members].transpose(0, 3, 1, 2))
    assert labels.dtype == np.uint8
    assert np.array_equal(sets["test"][1], [3, 2, 3])
    with store.read(paths.channel("red"), dimensions=3) as splits:
        assert splits["train"].classes == splits["test"].classes == ("ape", "bird", "cat", "dog")
        about = splits["train"].provenance
    assert about is not None
    size = sum(p.stat().st_size for p in (workspace / "own/train").rglob("[!.]*.png"))
    assert (about.name, about.size) == ("pictures in train", size)


def test_pictures_without_classes(workspace: Path) -> None:
    drawn = noise(10, 9, 8, 3)
    for i, array in enumerate(drawn):
        draw(workspace / f"own/{i}.png", array)
    sets = get("own", test=0.3)
    assert sets["train"][1] is None
    assert np.array_equal(np.concatenate([sets["train"][0], sets["test"][0]]), drawn.transpose(0, 3, 1, 2))
    assert len(sets["test"][0]) == 3
    for path in (paths.IMAGES, paths.channel("red")):
        assert b"labels" not in path.read_bytes()


def test_a_class_may_be_called_train(workspace: Path) -> None:
    for name in ("car", "plane", "train"):
        for i in range(5):
            draw(workspace / f"own/{name}/{i}.png", noise(8, 8, seed=i))
    sets = get("own")
    assert np.array_equal(np.unique(sets["train"][1]), [0, 1, 2])
    assert len(sets["test"][0]) == 3


def test_more_classes_than_a_byte_counts(workspace: Path) -> None:
    for label in range(300):
        for i in range(2):
            draw(workspace / f"own/{label:03}/{i}.png", np.full((8, 8), label // 2, np.uint8))
    labels = get("own", test=0.5)["train"][1]
    assert labels is not None
    assert labels.dtype == np.uint16
    assert np.array_equal(labels, np.arange(300))
    with store.read(paths.channel("blue"), dimensions=3) as splits:
        assert splits["train"].classes[299] == "299"
        assert splits["train"].images[299].max() == 149


def test_classes_are_shared_fairly_in_every_stretch() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = holdout.interleave_classes(labels)
    assert sorted(order) == list(range(1000))
    for first in range(0, 1000, 50):
        counts = np.bincount(labels[order[first : first + 50]], minlength=3)
        assert np.abs(counts - [30, 15, 5]).max() <= 1
    for label in range(3):
        assert np.all(np.diff(order[labels[order] == label]) > 0)  # as it was
    assert (
        holdout.held_out_count(2, 0.01),
        holdout.held_out_count(2, 0.99),
        holdout.held_out_count(300, 0.2),
    ) == (1, 1, 60)


def test_equal_pictures_give_equal_files_wherever_they_are(workspace: Path) -> None:
    for place in ("a", "b/c"):
        for i in range(7):
            draw(workspace / place / f"x/{i}.png", noise(20, 30, 3, seed=i))
    get("a", 16)
    written = [paths.OWN_IMAGES, paths.IMAGES, paths.channel("red")]
    first = [path.read_bytes() for path in written]
    get(str(workspace / "b/c"), 16)
    assert [path.read_bytes() for path in written] == first


def test_blocks_smaller_than_a_split(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "BLOCK", 4)
    monkeypatch.setattr(npz, "BLOCK", 4)
    monkeypatch.setattr(store, "BLOCK", 5)
    drawn = noise(25, 8, 8, 3)
    for i, array in enumerate(drawn):
        draw(workspace / f"own/{i:02}.png", array)
    np.savez("own.npz", images=drawn)
    for source in ("own", "own.npz"):
        assert np.array_equal(get(source)["train"][0], drawn[:20].transpose(0, 3, 1, 2))


# Kinds of pictures


def loaded(path: Path, size: int | None = None) -> np.ndarray:
    found = pictures.load(path, size)
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
    whole = np.asarray(pictures.square(Image.fromarray(slope).convert("RGB"), 32)).astype(int)
    assert np.abs(loaded(tmp_path / "x.jpg", 32) - whole).max() <= 3


# .npz files


@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
def test_npz_arrays(workspace: Path, channels: tuple[int, ...]) -> None:
    images = noise(10, 9, 11, *channels)
    if channels == (4,):
        images[..., 3] = 255
    np.savez("own.npz", images=images, names=np.array(["other"]))
    rgb = np.broadcast_to(images.reshape(10, 9, 11, -1)[..., :3], (10, 9, 11, 3)).transpose(0, 3, 1, 2)
    sets = get("own.npz")
    assert np.array_equal(sets["train"][0], rgb[:8])
    assert np.array_equal(sets["test"][0], rgb[8:])
    assert sets["train"][1] is None


def test_npz_splits_and_labels(workspace: Path) -> None:
    train, test = noise(6, 20, 20), noise(3, 30, 20, seed=1)
    labels = np.array([[0], [0], [0], [999], [999], [999]])
    np.savez_compressed(
        "own.npz", train_images=train, test_images=test, train_labels=labels, test_labels=[7, 5, 6]
    )
    sets = get("own.npz", 20)
    assert sets["train"][1] is not None
    assert sets["train"][1].dtype == np.uint16
    assert np.array_equal(sets["train"][1], [0, 999] * 3)
    assert np.array_equal(sets["train"][0][:, 1], train[[0, 3, 1, 4, 2, 5]])
    assert np.array_equal(sets["test"][1], [7, 5, 6])
    assert np.array_equal(sets["test"][0][:, 0], test[:, 5:25])


FEW = noise(4, 8, 8)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x_train": FEW}, r"expected the arrays images \(and labels\), or .*; found x_train"),
        ({"train_images": FEW}, "expected the arrays .*; found train_images"),
        ({"images": FEW / 255}, r"images should be \(N, H, W\) or .* uint8, 0 to 255; found .* float64"),
        ({"images": noise(4, 3, 8, 8)}, r"images should be .*; found \(4, 3, 8, 8\) uint8"),
        ({"images": FEW[:0]}, r"images should hold images; found \(0, 8, 8\)"),
        ({"images": FEW[:1]}, "one image; expected at least 2"),
        ({"images": noise(2, 300, 8)}, "images are of 8x300 pixels, but as .*data.size is null, a side must"),
        ({"images": FEW, "labels": [1, 2]}, r"labels should be \(4,\) whole numbers.*; found \(2,\) int64"),
        ({"images": FEW, "labels": [0.5] * 4}, "labels should be .* found .* float64"),
        ({"images": FEW, "labels": [0, 1, 2, -1]}, "labels should be from 0 to 65,535; found -1"),
        ({"images": FEW, "labels": [0, 1, 2, 65536]}, "labels should be from 0 to 65,535; found 65536"),
        ({"images": np.array([None, 1])}, "not a whole .npz file of plain arrays"),
        (
            {"train_images": FEW, "test_images": noise(2, 9, 8)},
            "train_images of 8x8 pixels and test_images of 8x9; expected one size, as .*; set data.size",
        ),
    ],
)
def test_npz_of_another_layout(workspace: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    np.savez("own.npz", **arrays)
    assert re.search(f"^own.npz: {said}", line("own.npz"))


@pytest.mark.parametrize("kept", [0, 10, 100, 0.5, 0.99])
def test_an_npz_that_was_cut(workspace: Path, kept: float) -> None:
    np.savez_compressed("own.npz", images=noise(20, 16, 16))
    data = Path("own.npz").read_bytes()
    Path("own.npz").write_bytes(data[: int(kept * len(data)) if kept < 1 else int(kept)])
    assert re.search("^own.npz: not a whole .npz file of plain arrays", line("own.npz"))


def test_one_array_is_no_npz(workspace: Path) -> None:
    with Path("own.npz").open("wb") as file:
        np.save(file, FEW)
    assert "not a whole .npz file of plain arrays (one array, as numpy.save writes it)" in line("own.npz")


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
    assert said.endswith(" and 2 more; mend or remove them; nothing was written")
    wrong = sorted(own.glob("good/[a-g]*"))
    reasons = {path.name[0]: pictures.load(path, 16).wrong for path in wrong}
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
            assert pictures.load(path, None).wrong, f"{suffix} {length}"


def test_pixels_without_a_range(tmp_path: Path) -> None:
    for dtype, said in ((np.float32, "floating-point pixels"), (np.int32, "32-bit pixels")):
        Image.fromarray(np.full((8, 8), 1e6, dtype)).save(tmp_path / "x.tif")
        assert pictures.load(tmp_path / "x.tif", None).wrong.startswith(said)


def test_several_sizes_without_a_size(workspace: Path) -> None:
    for i in range(6):
        draw(workspace / f"own/{i}.png", noise(8, 8 if i else 9, 3))
    assert line("own") == (
        "own: pictures of 2 sizes; expected one, as params.yaml: data.size is null; "
        "found 5 of 8x8 (1.png, ...), 1 of 9x8 (0.png); set data.size to make them equal"
    )
    assert get("own", 8)["train"][0].shape == (5, 3, 8, 8)


Make = Callable[[Path], object]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda own: own.mkdir(), "^own: no pictures; expected .png, .jpg, .* files, .*; found none$"),
        (
            lambda own: draw(own / "a/x.png", FEW[0]).rename(own / "a/x.heic"),
            r"^own: no pictures; expected .*; found files of other kinds \(.heic\)$",
        ),
        (
            lambda own: draw(own / "x.png", FEW[0]).rename(own / "x.heic"),
            r"found files of .* kinds \(.heic\)",
        ),
        (lambda own: draw(own / "x.png", FEW[0]), "own: one picture; expected at least 2"),
        (lambda own: draw(own / "train/x.png", FEW[0]), "own: a folder train alone; expected both"),
        (
            lambda own: [draw(own / f"{name}.png", FEW[0]) for name in ("x", "a/x")],
            r"own: pictures \(x.png, ...\) beside folders of pictures \(a, ...\); expected class",
        ),
        (
            lambda own: [draw(own / "a/x.png", FEW[0]), (own / "b").mkdir()],
            "own/b: a class folder without pictures",
        ),
        (
            lambda own: [draw(own / "train/a/x.png", FEW[0]), (own / "test").mkdir()],
            "own/test: no pictures",
        ),
        (lambda own: draw(own / "x.png", noise(300, 8)), "one picture"),
    ],
)
def test_folders_of_another_layout(workspace: Path, make: Make, said: str) -> None:
    make(workspace / "own")
    assert re.search(said, line("own"))


def test_a_folder_that_may_not_be_read(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(workspace / "own/a/x.png", FEW[0])

    def refused(top: Path, onerror: Callable[[OSError], object]) -> list[object]:
        onerror(PermissionError(13, "Permission denied", str(top)))
        return []

    monkeypatch.setattr("os.walk", refused)
    assert line("own") == "own/a: cannot be read: Permission denied; mend its permissions"


def test_sources_that_do_not_fit_the_parameters(workspace: Path) -> None:
    draw(workspace / "own/x.png", FEW[0])
    (workspace / "own.zip").touch()
    assert re.search(r"own.zip: a file that is no .npz; data.source is a URL, a folder", line("own.zip"))
    assert re.search("params.yaml: data.extra is true, but own has no extra set", line("own", extra=True))
    for source in ("synthetic", "http://127.0.0.1:1/svhn"):
        assert re.search(
            "params.yaml: data.size is 24, but SVHN's crops .* 32 pixels a side", line(source, 24)
        )


def test_the_command_says_it_in_one_line(
    workspace: Path, vaepipe: Vaepipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspaces.create(workspace / "w", {"data": {"source": "own"}})
    monkeypatch.chdir("w")
    for i in range(3):
        draw(Path(f"own/{i}.png"), noise(8, 8))
    Path("own/1.png").write_bytes(b"")
    done = vaepipe("download")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "error: own: 1 of 3 pictures cannot be used: own/1.png (an empty file); "
        "mend or remove them; nothing was written"
    )
    assert not Path("data/raw").exists()


def test_names_on_a_disk_are_shown_in_one_line() -> None:
    assert printable("a\n\x1b[31m\udcff") == r"a\n\x1b[31m\udcff"
    assert printable("Äpfel 林檎") == "Äpfel 林檎"


# To the report


@pytest.mark.parametrize(("size", "labelled"), [(32, False), (20, False), (20, True)])
def test_the_report_of_own_images(workspace: Path, size: int, labelled: bool) -> None:
    for i in range(15):
        draw(workspace / (f"own/<i>{i % 2}/{i}.png" if labelled else f"own/{i}.png"), noise(size, size, 3))
    get("own", size)
    config = model(latent=2, hidden=(4,), activation="relu")
    paths.MODELS.mkdir()
    paths.HISTORY.parent.mkdir()
    rows = [f"1,{component},train,700,690,10\n" for component in paths.COLOURS]
    paths.HISTORY.write_text("".join(["epoch,component,split,cost,reconstruction,kl\n", *rows]))
    for component in paths.COLOURS:
        save_model(paths.model(component), start(component, square(size), config))
    read = params.read(ROOT / "params.yaml")
    merge.run(replace(read, model=config, data=replace(read.data, source="own", size=None)))
    with store.read(paths.RECONSTRUCTIONS, dimensions=4) as splits:
        assert splits["test"].shape == (3, 3, size, size)
        assert (splits["test"].labels is not None) == labelled
    html = paths.REPORT.read_text()
    assert "House numbers" not in html
    assert "official" not in html
    assert ("labels are" in html) == labelled
    assert ("&lt;i&gt;1" in html) == labelled
    assert "<i>" not in html
    assert "<dt>size</dt><dd>null</dd>" in html
    [band, *_] = re.findall(r"data:image/png;base64,([^\"]+)", html)
    scale = {32: 2, 20: 4}[size]
    with Image.open(io.BytesIO(base64.b64decode(band))) as picture:
        assert picture.size == (scale * (8 * (size + 2) - 2), scale * (3 * (size + 2) - 2))
