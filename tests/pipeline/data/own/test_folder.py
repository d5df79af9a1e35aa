"""Own images: folders of pictures, and folders of another layout."""

import base64
import io
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common import paths
from pipeline.common.errors import printable
from pipeline.data import store
from pipeline.data.own import holdout, npz, pictures
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from pipeline.stages import merge
from tests.helpers.arrays import equal
from tests.helpers.checkout import ROOT, Vaepipe
from tests.helpers.drawings import draw, noise
from tests.helpers.models import model, square, start
from tests.helpers.own_images import FEW, get, line
from vae.modelfile import save_model


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
    draw(workspace / "own/more/cat/1.png", noise(8, 8))
    sets = get("own")
    assert "left out 2 other files: own/more/cat/1.png, own/README\n" in capsys.readouterr().err
    by_class = {0: [3, 4, 5], 1: [2], 2: [0, 1]}  # ape, bird, cat; dog is 3
    images, labels = sets["train"]
    assert labels is not None
    for label, members in by_class.items():
        assert np.array_equal(images[labels == label], drawn[members].transpose(0, 3, 1, 2))
    assert labels.dtype == np.uint8
    assert equal(sets["test"][1], [3, 2, 3])
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
    assert np.array_equal(np.unique(np.asarray(sets["train"][1])), [0, 1, 2])
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
        assert splits["train"].images[299:300].max() == 149


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
        holdout.test_count(2, 0.01),
        holdout.test_count(2, 0.99),
        holdout.test_count(300, 0.2),
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


Make = Callable[[Path], object]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda own: own.mkdir(), "^own: no pictures; expected .png, .apng, .* files, .*; found none$"),
        (
            lambda own: draw(own / "a/x.png", FEW[0]).rename(own / "a/x.heic"),
            r"^own: no pictures; expected .*; found files of other kinds \(.heic\)$",
        ),
        (
            lambda own: draw(own / "x.png", FEW[0]).rename(own / "x.heic"),
            r"found files of .* kinds \(.heic\)",
        ),
        (lambda own: draw(own / "x.png", FEW[0]), "own: one picture; expected at least 2"),
        (
            lambda own: draw(own / "train/x.png", FEW[0]),
            "own: a folder train alone; expected train and test, train and val",
        ),
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

    listed = os.scandir

    def refused(top: Path) -> object:
        if top.name == "a":
            raise PermissionError(13, "Permission denied", str(top))
        return listed(top)

    monkeypatch.setattr("os.scandir", refused)
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
        "mend them, or leave them out; nothing was written"
    )
    assert not Path("data/raw").exists()


def test_names_on_a_disk_are_shown_in_one_line() -> None:
    assert printable("a\n\x1b[31m\udcff") == r"a\n\x1b[31m\udcff"
    assert printable("Äpfel 林檎") == "Äpfel 林檎"


# To the report
@pytest.mark.slow
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
