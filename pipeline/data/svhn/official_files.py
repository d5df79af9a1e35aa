"""SVHN's official files: what is known of them, and how they are had from a folder."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pipeline.common import paths
from pipeline.common.errors import PipelineError, printable
from pipeline.experiment.params import Format

BLOCK = 1 << 20  # bytes between two steps of the progress bar


@dataclass(frozen=True)
class OfficialFile:
    """Size, checksum and number of images of a file at http://ufldl.stanford.edu/housenumbers."""

    size: int  # bytes
    md5: str
    images: int


OFFICIAL = {
    "train": OfficialFile(182_040_794, "e26dedcc434d2e4c54c9b2d4a06d8373", 73_257),
    "test": OfficialFile(64_275_384, "eb5a983be6a315427106f1b164d9cef3", 26_032),
    "extra": OfficialFile(1_329_278_602, "a93ce644f1a588dc4d68dda5feec44a7", 531_131),
}
# Photos of full numbers; of them SVHN's makers cropped the same images.
FULL = {
    "train": OfficialFile(404_141_560, "a649f4cb15c35520e8a8c342d4c0005a", 73_257),
    "test": OfficialFile(276_555_967, "790d9c8d42f1fcbd219b59956c853a81", 26_032),
}

Advance = Callable[[int], None]  # called with the number of bytes that are there since the last call


def files_of(format: Format) -> tuple[Callable[[str], Path], dict[str, OfficialFile]]:
    """Path of a split's file of a format in a workspace, and the official files of that format."""
    return (paths.archive, FULL) if format == "full" else (paths.raw, OFFICIAL)


def is_official(split: str, md5: str) -> bool:
    """Whether a file with this MD5 is SVHN's own of that split, in either format."""
    return any(split in known and known[split].md5 == md5 for known in (OFFICIAL, FULL))


def copy(source: Path, target: Path, advance: Advance) -> None:
    """Copy a user's file. Never a link: DVC makes what it tracks read-only, links' originals included."""
    try:
        with source.open("rb") as reader, target.open("wb") as writer:
            _copy(reader, writer, advance)
    except FileNotFoundError:
        raise PipelineError(
            f"{printable(source)}: not found; "
            f"data.source is a folder that must hold {source.name}{_hint(source)}"
        ) from None
    except OSError as error:
        raise PipelineError(f"{printable(source)}: cannot be copied: {error.strerror}") from error


def link(source: Path, target: Path) -> None:
    """Give a file of ours a second name, so that it takes its room on the disk once."""
    try:
        target.hardlink_to(source)
    except OSError:
        # Across file systems, or where links are not known.
        shutil.copyfile(source, target)


def ways_out() -> str:
    """What to do where a file cannot be had, for the end of an error."""
    return "set data.source to a mirror's URL, to a folder that holds the files, or to synthetic"


def _hint(source: Path) -> str:
    full = source.name in {paths.archive(split).name for split in FULL}
    return " where data.format is full" if full else ""


def _copy(source: BinaryIO, target: BinaryIO, advance: Advance) -> None:
    while block := source.read(BLOCK):
        target.write(block)
        advance(len(block))
