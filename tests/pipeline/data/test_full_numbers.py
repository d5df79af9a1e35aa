"""SVHN's format 1: from archives of photos to crops of digits, and archives that no friend has made."""

import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import store
from pipeline.data.svhn import crops, digitstruct
from pipeline.data.svhn.digitstruct import Box
from pipeline.data.synthetic import photos as streets
from pipeline.experiment.params import SyntheticConfig
from pipeline.stages import convert, download
from pipeline.stages.download import DownloadConfig
from tests.helpers.checkout import CUT, ROOT

FULL = Path(os.environ.get("VAEPIPE_SVHN_FULL", ROOT.parent / "shared/svhn-full"))
CROPPED = Path(os.environ.get("VAEPIPE_SVHN", ROOT.parent / "shared/svhn"))
GENERATED = SyntheticConfig(train=60, test=30, extra=1, seed=0)

Change = Callable[[dict[str, bytes]], None]


@pytest.fixture
def full(workspace: Path) -> Path:
    """A workspace with generated photos in data/raw."""
    download.run(DownloadConfig("synthetic", "full"), GENERATED)
    return workspace


def images(split: str) -> tuple[np.ndarray, np.ndarray, str]:
    with store.read(paths.IMAGES, dimensions=4) as splits:
        found = splits[split]
        assert found.labels is not None
        assert found.provenance
        return found.images[:], found.labels, found.provenance.note


def unpacked(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as opened:
        return {m.name: opened.extractfile(m).read() for m in opened if m.isfile()}  # type: ignore[union-attr]


def packed(path: Path, members: dict[str, bytes], *more: tuple[tarfile.TarInfo, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as opened:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
        for member, content in more:
            opened.addfile(member, io.BytesIO(content))


def png(picture: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()


def boxes(path: Path, split: str) -> dict[str, list[Box]]:
    with digitstruct.opened(unpacked(path)[f"{split}/digitStruct.mat"], "here") as opened:
        return dict(opened)


@pytest.mark.parametrize("size", [32, 48, 64])
def test_from_archives_to_crops(full: Path, size: int) -> None:
    convert.run(size, 0.1, "hidden")
    for split, count in (("train", 60), ("test", 30)):
        found, labels, note = images(split)
        listed = boxes(paths.archive(split), split)
        assert found.shape == (count, 3, size, size)
        assert labels.tolist() == [int(box.label) % 10 for each in listed.values() for box in each]
        assert note.startswith(f"{count} digits of {len(listed)} photos; margin 0.1, neighbours hidden; ")
    before = paths.IMAGES.read_bytes()
    convert.run(size, 0.1, "hidden")
    assert paths.IMAGES.read_bytes() == before
    convert.run(size, 0.1, "shown")
    assert paths.IMAGES.read_bytes() != before


def test_generated_photos_are_the_same_twice(full: Path) -> None:
    before = paths.archive("train").read_bytes()
    download.run(DownloadConfig("synthetic", "full"), GENERATED)
    assert paths.archive("train").read_bytes() == before


def disc(box: Box, photo: tuple[int, int]) -> np.ndarray:
    """A white ellipse that fills a box, on black, (H, W, 3)."""
    y, x = np.mgrid[: photo[0], : photo[1]] + 0.5
    across = (x - box.left - box.width / 2) / box.width
    down = (y - box.top - box.height / 2) / box.height
    return np.repeat(((across**2 + down**2 < 0.25) * 255).astype(np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize(
    "box",
    [Box(20, 30, 24, 40, 1), Box(10.5, 10.25, 60, 30, 1), Box(-9, 40, 30, 30, 1), Box(70, 5, 90, 90, 1)],
)
@pytest.mark.parametrize("size", [32, 64])
def test_a_digit_is_whole_centred_and_undistorted(box: Box, size: int) -> None:
    inside = disc(box, (100, 120))
    seen = crops.window(box, 0.2)
    found = crops.crop(inside, seen, crops.WITHOUT_END, size).transpose(1, 2, 0)[..., 0] / 255
    # In the crop it should be an ellipse of the same shape in the middle.
    scale = size / seen.side
    width, height = box.width * scale, box.height * scale
    expected = (
        disc(Box((size - width) / 2, (size - height) / 2, width, height, 1), (size, size))[..., 0] / 255
    )
    # Replicated edges stand for what the photo lacks: two pixels inside what it has.
    first_x, last_x = (int((x - seen.left) * scale) for x in (max(seen.left, 0), min(seen.right, 120)))
    first_y, last_y = (int((y - seen.top) * scale) for y in (max(seen.top, 0), min(seen.bottom, 100)))
    there = (slice(first_y + 2, last_y - 2), slice(first_x + 2, last_x - 2))
    assert np.abs(found - expected)[there].mean() < 0.03


def test_where_a_box_leaves_the_photo_its_edges_are_replicated() -> None:
    photo = np.zeros((20, 20, 3), np.uint8)
    photo[:, 0], photo[0, :] = (200, 0, 0), (0, 0, 200)
    found = crops.crop(photo, crops.Area(-20, 5, -4, 21), crops.WITHOUT_END, 16)
    assert (found[0] == 200).all()
    assert (found[1:] == 0).all()


def test_neighbours_are_hidden_and_the_digit_is_not() -> None:
    photo = np.full((40, 100, 3), 128, np.uint8)
    trio = [Box(10, 5, 20, 30, 1), Box(40, 5, 20, 30, 2), Box(70, 5, 20, 30, 3)]
    for box, colour in zip(trio, [(0, 0, 255), (255, 0, 0), (0, 0, 255)], strict=True):
        photo[5:35, int(box.left) : int(box.right)] = colour
    middle, others = trio[1], [trio[0], trio[2]]
    seen = crops.window(middle, 0.2)
    shown = crops.crop(photo, seen, crops.WITHOUT_END, 64)
    hidden = crops.crop(photo, seen, crops.visible_area(middle, others), 64)
    assert (shown[2] > 200).any()
    assert (hidden[2] < 150).all()
    np.testing.assert_array_equal(hidden[:, 10:54, 20:44], shown[:, 10:54, 20:44])
    # 42 pixels wide from 29 on: the left one's last pixel, and the right one's first.
    assert crops.neighbours(seen, crops.WITHOUT_END, others) == pytest.approx(2 * 1 * 30 / 42**2)
    assert crops.neighbours(seen, crops.visible_area(middle, others), others) == 0


def test_what_is_covered_twice_counts_once() -> None:
    square = crops.Area(0, 0, 10, 10)
    others = [Box(0, 0, 4, 10, 1), Box(2, 0, 4, 5, 1), Box(20, 20, 5, 5, 1)]
    assert crops.neighbours(square, crops.WITHOUT_END, others) == pytest.approx((40 + 10) / 100)


places = st.floats(-50, 300, allow_nan=False)
sides = st.floats(1, 200, allow_nan=False)
some_boxes = st.lists(st.builds(Box, places, places, sides, sides, st.just(1.0)), min_size=1, max_size=5)


@given(some_boxes)
def test_a_box_is_never_cut(several: list[Box]) -> None:
    box, *others = several
    own = crops.visible_area(box, others)
    assert own.left <= box.left
    assert own.top <= box.top
    assert own.right >= box.right
    assert own.bottom >= box.bottom
    seen = crops.window(box, 0.1)
    share, whole = (crops.neighbours(seen, visible, others) for visible in (own, crops.WITHOUT_END))
    assert 0 <= share <= whole + 1e-9 <= 1 + 2e-9


def rewritten(change: Change, split: str = "train") -> None:
    members = unpacked(paths.archive(split))
    change(members)
    packed(paths.archive(split), members)


def fails() -> str:
    """What convert says, in one line, and leaves nothing."""
    with pytest.raises(PipelineError) as caught:
        convert.run(*CUT)
    assert "\n" not in str(caught.value)
    assert not paths.IMAGES.exists()
    assert not [path for path in paths.IMAGES.parent.iterdir() if path != paths.RAW]
    return str(caught.value)


def link(name: str, kind: bytes, target: str = "/etc/passwd") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


def named(name: str, content: bytes = b"x") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    return member, content


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (named("train/../../escaped.png"), "train/../../escaped.png, a path that leaves its folder"),
        (named("/train/1.png"), "/train/1.png, a path that leaves its folder"),
        (link("train/9999.png", tarfile.SYMTYPE), "train/9999.png, which is no plain file"),
        (link("train/9999.png", tarfile.LNKTYPE, "train/1.png"), "which is no plain file"),
        (link("train/tty", tarfile.CHRTYPE), "train/tty, which is no plain file"),
        (link("train/pipe", tarfile.FIFOTYPE), "train/pipe, which is no plain file"),
    ],
)
def test_what_svhns_archives_never_hold_is_refused(
    full: Path, more: tuple[tarfile.TarInfo, bytes], said: str
) -> None:
    packed(paths.archive("train"), unpacked(paths.archive("train")), more)
    message = fails()
    assert said in message
    assert "which SVHN's archives never do; delete it and run `dvc repro -f download`" in message
    assert sorted(path.name for path in full.iterdir()) == ["data"]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_member_that_announces_more_than_memory_is_not_read(full: Path, kind: bytes, form: int) -> None:
    member = tarfile.TarInfo("train/1.png")
    member.size, member.type = 200 << 30, kind
    with gzip.open(paths.archive("train"), "wb") as file:
        file.write(member.tobuf(form))
        file.write(bytes(1 << 20))
    expected = "of 214,748,364,800 bytes" if form == tarfile.GNU_FORMAT else "(never do|not a whole archive)"
    assert re.search(expected, fails())


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda content: content[: len(content) // 2], "not a whole archive (Compressed file ended"),
        (lambda content: content[:-8] + b"12345678", "not a whole archive (CRC check failed"),
        (lambda content: b"PK" + content, "not a whole archive (Not a gzipped file"),
        (lambda content: gzip.compress(b"no tar" * 1000), "not a whole archive"),
        (lambda content: b"", "not a whole archive"),
    ],
)
def test_a_damaged_archive_is_named(full: Path, harm: Callable[[bytes], bytes], said: str) -> None:
    path = paths.archive("train")
    path.write_bytes(harm(path.read_bytes()))
    assert fails().startswith(f"{path}: {said}")


def sparse() -> bytes:
    member = tarfile.TarInfo("train/1.png")
    member.pax_headers = {"GNU.sparse.map": "a,b"}
    return member.tobuf(tarfile.PAX_FORMAT)


def chained() -> bytes:
    """Long names of long names: tarfile reads each within the one before."""
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 1
    return (member.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")) * 2000


@pytest.mark.parametrize("harm", [sparse, chained])
def test_headers_that_tarfile_trips_over(full: Path, harm: Callable[[], bytes]) -> None:
    paths.archive("train").write_bytes(gzip.compress(harm() + bytes(10240)))
    assert "data/raw/train.tar.gz: not a whole archive (" in fails()


def test_an_archive_that_is_none(full: Path) -> None:
    paths.archive("train").unlink()
    paths.archive("train").mkdir()
    assert fails().startswith("data/raw/train.tar.gz: cannot be read: Is a directory; ")


def test_a_photo_that_is_named_twice(full: Path) -> None:
    struct_of({"1.png": [FINE], "2.png": [FINE]}, {"1.png": PHOTO, "2.png": PHOTO})
    members = unpacked(paths.archive("train"))
    boxed = streets.struct([("1.png", [FINE]), ("1.png", [FINE])])
    packed(paths.archive("train"), members | {"train/digitStruct.mat": boxed})
    assert "digitStruct.mat names 1.png twice; mend the source" in fails()


@pytest.mark.parametrize("size", ["32k", "200k", "300k"])
def test_a_full_disk(full: Path, size: str) -> None:
    """With room for some of the crops, for all of them, and for nearly the whole file."""
    Path("data").rename("whole")
    Path("data").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", "data"], check=False)
    if mounted.returncode:
        pytest.skip("mounting a file system needs root")
    try:
        paths.RAW.symlink_to(Path("whole/raw").absolute())
        message = fails()
    finally:
        subprocess.run(["umount", "--lazy", "data"], check=True)
    assert message == "data/svhn.h5: cannot be written: No space left on device; nothing was changed"


def test_an_archive_that_is_cut_after_its_boxes(full: Path) -> None:
    path = paths.archive("train")
    members = unpacked(path)
    boxed = {"train/digitStruct.mat": members.pop("train/digitStruct.mat")}
    packed(path, boxed | members)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert fails().startswith(f"{path}: not a whole archive (")


def test_an_archive_without_boxes(full: Path) -> None:
    rewritten(lambda members: members.pop("train/digitStruct.mat"))
    assert "no train/digitStruct.mat in it; expected SVHN's archive of full numbers" in fails()
    paths.archive("test").unlink()
    paths.archive("train").unlink()
    assert "data/raw/train_32x32.mat: not found" in fails()


def reshaped(change: Callable[[h5py.File], object]) -> Change:
    def edit(members: dict[str, bytes]) -> None:
        content = io.BytesIO(members["train/digitStruct.mat"])
        with h5py.File(content, "r+") as file:
            change(file)
        members["train/digitStruct.mat"] = content.getvalue()

    return edit


def without(name: str) -> Callable[[h5py.File], object]:
    return lambda file: file.__delitem__(name)


def replaced(name: str, **new: object) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **new)

    return change


def elsewhere(file: h5py.File) -> None:
    del file["digitStruct/name"]
    file["digitStruct/name"] = h5py.ExternalLink("/etc/passwd", "/x")


def virtual(file: h5py.File) -> None:
    del file["#refs#/b0/left"]
    plan = h5py.VirtualLayout((1, 1), "f8")
    plan[:] = h5py.VirtualSource("/etc/passwd", "x", (1, 1))
    file.create_virtual_dataset("#refs#/b0/left", plan)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("digitStruct"), "the file: no digitStruct"),
        (without("digitStruct/bbox"), "the file: no bbox"),
        (without("#refs#/b0/width"), "the boxes of 1.png: no width"),
        (without("#refs#/b0/label"), "the boxes of 1.png: no label"),
        (elsewhere, "the file: name is no dataset of this file"),
        (virtual, "the boxes of 1.png: its numbers are in other files"),
        (
            replaced("#refs#/b0/left", shape=(1, 1), dtype="f8", external="/etc/passwd"),
            "its numbers are in other files",
        ),
        (replaced("#refs#/b0/left", data=np.zeros((9, 9))), "the boxes of 1.png: 81 values; expected 1 to 1"),
        (replaced("#refs#/b0/left", data="left"), "the boxes of 1.png: no numbers"),
        (replaced("digitStruct/name", data=np.zeros((3, 1))), "name: float64 instead of references"),
        (
            replaced("digitStruct/name", shape=(1 << 40, 1), dtype=h5py.ref_dtype, chunks=(1024, 1)),
            "name: 1,099,511,627,776 values; expected 1 to 1,000,000",
        ),
    ],
)
def test_boxes_that_are_not_as_svhns(full: Path, change: Callable[[h5py.File], object], said: str) -> None:
    rewritten(reshaped(change))
    message = fails()
    assert message.startswith("data/raw/train.tar.gz: digitStruct.mat: ")
    assert said in message


def test_boxes_that_are_no_hdf5(full: Path) -> None:
    rewritten(lambda members: members.update({"train/digitStruct.mat": b"MATLAB 5.0"}))
    assert "digitStruct.mat: not a whole MATLAB 7.3 file" in fails()


def struct_of(photos: dict[str, list[Box]], content: dict[str, bytes]) -> None:
    boxed = streets.struct(list(photos.items()))
    packed(
        paths.archive("train"),
        {**{f"train/{n}": c for n, c in content.items()}, "train/digitStruct.mat": boxed},
    )


def many(good: int, **bad: tuple[Box, bytes | None]) -> None:
    """An archive of so many good photos of one digit, and some others by name."""
    fine, photo = Box(5, 5, 10, 20, 3), png(np.full((40, 30, 3), 90, np.uint8))
    photos = {f"{n}.png": [fine] for n in range(good)} | {f"{n}.png": [box] for n, (box, _) in bad.items()}
    content = {f"{n}.png": photo for n in range(good)}
    struct_of(photos, content | {f"{n}.png": c for n, (_, c) in bad.items() if c is not None})


FINE = Box(5, 5, 10, 20, 3)
PHOTO = png(np.full((40, 30, 3), 90, np.uint8))


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


def test_the_source_and_the_format_fit(workspace: Path) -> None:
    for name in ("train", "test"):
        packed(workspace / f"mine/{name}.tar.gz", {"x": b""})
    with pytest.raises(PipelineError, match=r"holds SVHN's photos of full numbers; set it to full$"):
        download.run(DownloadConfig("mine"), GENERATED)
    download.run(DownloadConfig("mine", "full"), GENERATED)
    found = sorted(path.name for path in paths.RAW.iterdir())
    assert found == [paths.CHECKSUMS.name, "test.tar.gz", "train.tar.gz"]
    Path("mine/test.tar.gz").unlink()
    with pytest.raises(
        PipelineError, match=r"mine/test.tar.gz: not found; data.source is a folder that must"
    ):
        download.run(DownloadConfig("mine", "full"), GENERATED)
    with pytest.raises(PipelineError, match=r"mine/train.tar.gz: not a folder; data.source is a URL"):
        download.run(DownloadConfig("mine/train.tar.gz", "full"), GENERATED)


@pytest.mark.svhn
@pytest.mark.skipif(not (FULL / "train.tar.gz").exists(), reason="needs a slice of SVHN's full numbers")
class TestSVHN:
    """On the real slice: 256 photos, whose 554 digits SVHN's makers cropped, too."""

    @pytest.fixture
    def raw(self, workspace: Path) -> None:
        download.run(DownloadConfig(str(FULL), "full"), GENERATED)

    def test_counts_and_neighbours(self, raw: None) -> None:
        convert.run(64, 0.1, "hidden")
        for split, count in (("train", 554), ("test", 378)):
            found, _, note = images(split)
            assert found.shape == (count, 3, 64, 64)
            assert "cover 0.0% of the median crop" in note
        assert "(as SVHN crops them, 20.4% and 20.8%)" in note

    def test_without_margin_and_with_neighbours_they_are_the_official_crops(self, raw: None) -> None:
        convert.run(32, 0, "shown")
        found, labels, _ = images("train")
        official = scipy.io.loadmat(CROPPED / "train_32x32.mat")
        expected = official["X"].transpose(3, 2, 0, 1)[: len(found)]
        assert (official["y"][: len(found), 0] % 10 == labels).all()
        error = np.square((found / 255.0) - expected / 255.0).mean((1, 2, 3))
        assert np.median(error) < 1.5e-4  # 38 dB, by another resampling filter
