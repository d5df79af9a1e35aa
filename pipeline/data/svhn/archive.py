"""SVHN's format 1 archives, `train.tar.gz` and `test.tar.gz`, as streams: nothing is unpacked to the disk.

An archive holds a folder of its split's name, in it the photos, `1.png` and on, and `digitStruct.mat`. What
could harm is refused all the same, since whoever made it did not make SVHN's: names that leave the folder,
links and devices, sizes beyond all that SVHN has.
"""

import tarfile
import zlib
from collections.abc import Callable, Iterator
from gzip import BadGzipFile, GzipFile
from io import FileIO
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.common.errors import PipelineError, printable, reason

BOXES = "digitStruct.mat"
BLOCK = 1 << 20  # bytes
# Bytes and members far beyond SVHN's, whose larger archive has 0.4 GB, packed, and 33,402 photos.
MOST_PHOTO, MOST_BOXES, MOST_BYTES, MOST_MEMBERS = 16 << 20, 1 << 30, 32 << 30, 1_000_000
LEVEL = 1  # of gzip: photos are packed already
MOST_HEADER = 1 << 16  # of what precedes a member, such as a long name

Advance = Callable[[int], None]
REMEDY = "delete it and run `dvc repro -f download`, or mend the source"


def members(
    path: Path, split: str, wanted: Callable[[str], bool], advance: Advance
) -> Iterator[tuple[str, bytes]]:
    """The photos and the boxes that are wanted, by their names in the folder, in the archive's order.

    `advance` gets the numbers of compressed bytes that were read.

    Raises:
        PipelineError: the archive is absent, cut short, damaged, or holds what SVHN's do not.
    """
    total = count = 0
    try:
        file = _Counted(path)
        file.advance = advance
        with file, GzipFile(fileobj=file) as stream:
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Bounded) as archive:
                while member := archive.next():
                    archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                    count, total = count + 1, total + member.size
                    if count > MOST_MEMBERS or total > MOST_BYTES:
                        raise _Refused(f"holds more than {MOST_MEMBERS:,} files or {MOST_BYTES:,} bytes")
                    name = _checked(member, split)
                    content = archive.extractfile(member) if name and wanted(name) else None
                    if content:
                        yield name, content.read()
            # To the end, where gzip's checksum is.
            while block := stream.read(BLOCK):
                total += len(block)
                if total > MOST_BYTES:
                    raise _Refused(f"holds more than {MOST_BYTES:,} bytes")
    except _Refused as refused:
        raise PipelineError(f"{path}: {refused}, which SVHN's archives never do; {REMEDY}") from None
    except FileNotFoundError:
        raise PipelineError(f"{path}: not found; run `dvc repro download` to get it") from None
    except (EOFError, tarfile.TarError, zlib.error, BadGzipFile, ValueError, RecursionError) as error:
        raise PipelineError(f"{path}: not a whole archive ({error}); {REMEDY}") from None
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read: {reason(error)}; {REMEDY}") from None


def bytes_of(source: Path) -> int:
    """Bytes of a .tar, or of the files in a folder; 0 where that cannot be read, which `pack` says."""
    try:
        found = list(source.iterdir()) if source.is_dir() else [source]
        return sum(path.stat().st_size for path in found if path.is_file())
    except OSError:
        return 0


def pack(source: Path, split: str, target: Path, advance: Advance) -> None:
    """Make an archive of a .tar, or of a folder of photos and their boxes. Equal files, equal bytes.

    Raises:
        PipelineError: something cannot be read.
    """
    try:
        with target.open("wb") as file, GzipFile("", "wb", LEVEL, file, mtime=0) as packed:
            if source.is_dir():
                _pack_folder(source, split, packed, advance)
            else:
                with source.open("rb") as tar:
                    while block := tar.read(BLOCK):
                        packed.write(block)
                        advance(len(block))
    except OSError as error:
        raise PipelineError(
            f"{printable(error.filename or source)}: cannot be copied: {reason(error)}"
        ) from error


def _pack_folder(source: Path, split: str, packed: GzipFile, advance: Advance) -> None:
    with tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(source.iterdir(), key=lambda path: path.name):
            if path.name != BOXES and path.suffix.lower() != ".png":
                continue
            if path.exists() and not path.is_file():  # a pipe would be waited for
                raise PipelineError(f"{printable(path)}: no plain file; mend the source")
            with path.open("rb") as content:
                member = tarfile.TarInfo(f"{split}/{path.name}")
                member.size = path.stat().st_size
                tar.addfile(member, content)
            advance(member.size)


class _Refused(Exception):
    """An archive does something that SVHN's do not."""


class _Bounded(tarfile.TarInfo):
    """A header that is looked at before what it announces is read: long names and the like go to memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
        info = super().frombuf(buf, encoding, errors)
        most = MOST_BOXES if info.type in tarfile.REGULAR_TYPES else MOST_HEADER
        if info.size > most:
            raise _Refused(f"has the member {printable(info.name)} of {info.size:,} bytes")
        return info


class _Counted(FileIO):
    """A file that tells how much of it was read."""

    advance: Advance

    def read(self, count: int | None = -1) -> bytes:
        block = super().read(-1 if count is None else count)
        self.advance(len(block))
        return block


def _checked(member: tarfile.TarInfo, split: str) -> str:
    """The name in the folder of what is used; empty for what is not."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise _Refused(f"has the member {printable(member.name)}, a path that leaves its folder")
    if member.isdir():
        return ""
    if not member.isreg() or member.issparse():
        raise _Refused(f"has the member {printable(member.name)}, which is no plain file")
    wanted = path.parent == PurePosixPath(split) and (path.name == BOXES or path.suffix.lower() == ".png")
    if wanted and member.size > (MOST_BOXES if path.name == BOXES else MOST_PHOTO):
        raise _Refused(f"has the member {printable(member.name)} of {member.size:,} bytes")
    return path.name if wanted else ""
