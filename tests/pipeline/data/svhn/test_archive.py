"""Archives that are damaged, or that no friend has made."""

import gzip
import re
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from pipeline.common import paths
from pipeline.data.synthetic import photos as streets
from tests.helpers.archives import (
    FINE,
    PHOTO,
    fails,
    link,
    named,
    packed,
    rewritten,
    struct_of,
    unpacked,
)


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
def test_a_member_that_announces_more_than_memory_is_not_read(
    full: Path, kind: bytes, form: Literal[1, 2]
) -> None:
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
    assert message == "data/svhn.h5: cannot be written: No space left on device; it is as it was"


def test_an_archive_that_is_cut_after_its_boxes(full: Path) -> None:
    path = paths.archive("train")
    members = unpacked(path)
    boxed = {"train/digitStruct.mat": members.pop("train/digitStruct.mat")}
    packed(path, boxed | members)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert fails().startswith(f"{path}: not a whole archive (")


def without_boxes(members: dict[str, bytes]) -> None:
    del members["train/digitStruct.mat"]


def test_an_archive_without_boxes(full: Path) -> None:
    rewritten(without_boxes)
    assert "no train/digitStruct.mat in it; expected SVHN's archive of full numbers" in fails()
    paths.archive("test").unlink()
    paths.archive("train").unlink()
    assert "data/raw/train_32x32.mat: not found" in fails()
