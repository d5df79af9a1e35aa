"""Own images: which folders are splits, links, names, and files of several frames."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.common.errors import PipelineError
from pipeline.data.own import folder, pictures, tree
from tests.helpers.drawings import draw, noise
from tests.helpers.own_images import FEW, get, line


def lay(root: Path, *names: str) -> Path:
    """Pictures by their paths without .png, each of a shade of its own; a name that ends in / is a folder."""
    for shade, name in enumerate(names):
        if name.endswith("/"):
            (root / name).mkdir(parents=True)
        else:
            draw(root / f"{name}.png", np.full((8, 8), 60 + shade, np.uint8))
    return root


def refusal(own: Path) -> str:
    with pytest.raises(PipelineError) as caught:
        folder.find(own, 0.5)
    return str(caught.value)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Train", "Test"),
        ("training", "testing"),
        ("TRAIN", "eval"),
        ("train", "evaluation"),
    ],
)
def test_names_of_splits(tmp_path: Path, train: str, test: str) -> None:
    found = folder.find(lay(tmp_path, f"{train}/a/1", f"{train}/b/1", f"{test}/a/2"), 0.5)
    assert {split: len(listing.pictures) for split, listing in found.listings.items()} == {
        "train": 2,
        "test": 1,
    }
    assert found.listings["test"].classes == ("a", "b")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Val"])
def test_a_validation_set(workspace: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    lay(Path("own"), *(f"train/{n}" for n in range(6)), f"{name}/1", f"{name}/2", "test/1")
    sets = get("own")
    assert {split: len(images) for split, (images, _) in sets.items()} == {
        "train": 6,
        "validation": 2,
        "test": 1,
    }
    assert (
        f"{name} is the validation set, and data.validation holds out nothing else" in capsys.readouterr().err
    )


def test_a_validation_set_without_a_test_set(tmp_path: Path) -> None:
    found = folder.find(lay(tmp_path, *(f"train/{n}" for n in range(10)), "val/1"), 0.2)
    counts = {split: len(listing.pictures) for split, listing in found.listings.items()}
    assert counts == {"train": 8, "test": 2, "validation": 1}
    assert "the share data.test of train is the test set" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("train/1", "Train/1", "test/1"), "Train, train both name the train split"),
        (("val/1", "dev/1", "train/1"), "dev, val both name the validation split"),
        (("val/1", "test/1"), "the folders test, val alone; expected train and test"),
        (("test/1", "cat/1", "dog/1"), "a folder test beside cat, dog: splits, or classes?"),
        (("train/1", "val/1", "cat/1"), "the folders train, val beside cat: splits, or classes?"),
        (("train/cat/1", "car/1"), "a folder train beside car: splits, or classes?"),
        (
            ("set/train/1", "set/test/1"),
            "set: holds test, train; expected splits outside of all other folders",
        ),
        (("cat/train/1", "cat/val/1", "dog/train/1"), "cat: holds train, val; expected splits outside"),
        (("train/x/train/1", "train/x/test/2", "test/3"), "x: holds test, train; expected splits outside"),
    ],
)
def test_what_is_ambiguous_is_refused(tmp_path: Path, names: Sequence[str], said: str) -> None:
    assert said in refusal(lay(tmp_path, *names))


def test_boxes_are_no_labels(tmp_path: Path) -> None:
    lay(tmp_path / "yolo", "images/train/1", "images/train/2", "images/val/3", "labels/")
    (tmp_path / "yolo/labels/1.txt").write_text("0 0.5 0.5 1 1\n")
    found = folder.find(tmp_path / "yolo", 0.5)
    assert {split: listing.labels for split, listing in found.listings.items()} == dict.fromkeys(
        ("train", "validation", "test")
    )
    assert "boxes, as in YOLO's sets" in found.notes[0]
    assert [path.name for path in found.left_out] == ["1.txt"]


# Links
def test_links_are_followed(tmp_path: Path) -> None:
    lay(tmp_path / "other", "1", "2")
    own = lay(tmp_path / "own", "cat/0")
    (own / "cat/more").symlink_to(tmp_path / "other")
    (own / "dog").symlink_to(tmp_path / "other")
    found = folder.find(own, 0.4)
    assert sum(len(listing.pictures) for listing in found.listings.values()) == 5
    assert found.listings["train"].classes == ("cat", "dog")
    assert len(folder.class_of_each(own)) == 5  # and so `encode` does


def test_a_circle_of_links_is_named(tmp_path: Path) -> None:
    own = lay(tmp_path / "own", "cat/0")
    (own / "cat/round").symlink_to(own)
    assert re.search(r"own/cat/round: a link back to .*own, which it is in: a circle", refusal(own))


def test_what_is_no_file_cannot_be_used(workspace: Path) -> None:
    own = lay(Path("own"), "cat/0", "cat/1")
    (own / "cat/gone.png").symlink_to("nowhere")
    (own / "cat/self.png").symlink_to("self.png")
    os.mkfifo(own / "cat/pipe.png")
    said = line("own")
    assert "own: 3 of 5 pictures cannot be used: own/cat/" in said
    assert "own/cat/gone.png (a link to nothing)" in said
    assert "own/cat/pipe.png (no plain file)" in said
    assert "own/cat/self.png (Too many levels of symbolic links)" in said


# Names
def test_names_sort_as_people_count(tmp_path: Path) -> None:
    names = [str(n) for n in (10, 9, 100, 1, 2)]
    found = folder.find(lay(tmp_path, *(f"{name}/{n}" for name in names for n in (10, 9))), 0.5)
    assert found.listings["train"].classes == ("1", "2", "9", "10", "100")
    assert {picture.path.name for picture in found.listings["train"].pictures} == {"9.png"}
    assert sorted(["b", "a10", "a9", "a", "٣"], key=tree.natural_key)[:3] == ["٣", "a", "a9"]


def test_one_class_in_two_forms_of_unicode(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    found = folder.find(lay(tmp_path / "a", f"train/{composed}/1", f"test/{decomposed}/1"), 0.5)
    assert found.listings["test"].classes == (composed,)
    assert not found.notes
    assert "two class folders" in refusal(lay(tmp_path / "b", f"{composed}/1", f"{decomposed}/1"))


def test_classes_that_training_has_not_are_named(tmp_path: Path) -> None:
    found = folder.find(lay(tmp_path, "train/cat/1", "test/Cat/1", "test/dog/1", "test/dog/2"), 0.5)
    assert found.notes == [
        "test: 3 images are of classes that no training image has (Cat, where training has cat, dog); "
        "no model can be told them"
    ]


def test_pictures_by_what_is_in_them(tmp_path: Path) -> None:
    for name, kind in (
        ("a.jfif", "JPEG"),
        ("b.jpe", "JPEG"),
        ("c", "JPEG"),
        ("d.0001", "PNG"),
        ("e.JPG", "PNG"),
    ):
        Image.fromarray(FEW[0]).save(tmp_path / name, kind)
    (tmp_path / "README").write_text("P1 is the first of our plates")
    Image.fromarray(FEW[0]).save(tmp_path / "x.bak", "PNG")
    root = tree.scan(tmp_path)
    assert [path.name for path in root.pictures] == ["a.jfif", "b.jpe", "c", "d.0001", "e.JPG"]
    assert [path.name for path in root.others] == ["README", "x.bak"]
    for path in root.pictures:
        assert pictures.load(folder.Picture(path), pictures.Reading()).image is not None


def test_what_is_left_out_is_listed(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay(Path("own"), "train/1", "train/2", "test/1", "more/3")
    for n in range(4):
        Path(f"own/{n}.txt").touch()
    get("own")
    assert "left out 5 other files: own/more/3.png, own/0.txt, own/1.txt, ...; all are listed in" in (
        capsys.readouterr().err
    )
    assert len(Path(".vaepipe/left-out.txt").read_text().splitlines()) == 5


# Files of several frames
@pytest.mark.parametrize(
    ("name", "kind"), [("x.gif", "GIF"), ("x.tif", "TIFF"), ("x.webp", "WEBP"), ("x.png", "PNG")]
)
def test_frames(workspace: Path, name: str, kind: str) -> None:
    Path("own").mkdir()
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (40, 120, 200)]
    options = {"lossless": True} if kind == "WEBP" else {}
    frames[0].save(Path("own") / name, kind, save_all=True, append_images=frames[1:], **options)
    draw(Path("own/y.png"), np.full((8, 8), 250, np.uint8))
    assert f"own/{name} (3 frames or pages; set data.frames, or --frames, to first, or to all)" in line("own")
    first = get("own", frames="first", test=0.5)
    assert sorted(int(images.max()) for images, _ in first.values()) == [40, 250]
    every = np.concatenate([images for images, _ in get("own", frames="all", test=0.5).values()])
    assert np.abs(every.max((1, 2, 3)).astype(int) - (40, 120, 200, 250)).max() <= 2


def test_a_phone_s_preview_is_no_frame(tmp_path: Path) -> None:
    frames = [Image.fromarray(noise(8, 8, 3, seed=n)) for n in range(2)]
    frames[0].save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=frames[1:])
    assert pictures.load(folder.Picture(tmp_path / "x.jpg"), pictures.Reading()).image is not None
    assert [len(of_file) for of_file in pictures.frames([tmp_path / "x.jpg"])] == [1]
