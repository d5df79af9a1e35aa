"""Contents of a folder at any depth: pictures, other files. Links are followed; names sort as people do."""

import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.common import files
from pipeline.common.errors import PipelineError, printable

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".webp", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# How a picture's file begins, where its name does not tell; of WebP what follows the length.
BEGINNINGS = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|BM.{4}\0\0\0\0|II\*\0|MM\0\*|RIFF.{4}WEBP|P[1-6]\s+[#\d]",
    re.DOTALL,
)
ORDINARY_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,7}|\.[0-9][A-Za-z]+[0-9]*")
MOST_DEEP = 100  # folders in folders


@dataclass(frozen=True)
class Tree:
    """A folder, and all that is visible in it."""

    path: Path
    pictures: tuple[Path, ...]  # in the folder itself; links to nothing and other things of such names too
    others: tuple[Path, ...]  # files of other kinds
    folders: tuple["Tree", ...]

    @property
    def name(self) -> str:
        """The folder's name, composed (NFC): macOS decomposes what others do not."""
        return unicodedata.normalize("NFC", self.path.name)

    def below(self) -> Iterator[Path]:
        """The pictures at any depth."""
        yield from self.pictures
        for folder in self.folders:
            yield from folder.below()

    def others_below(self) -> Iterator[Path]:
        """The files of other kinds at any depth."""
        yield from self.others
        for folder in self.folders:
            yield from folder.others_below()

    def has_pictures(self) -> bool:
        """Whether there is a picture at any depth."""
        return next(self.below(), None) is not None

    def walk(self) -> Iterator["Tree"]:
        """The folder, and those in it at any depth."""
        yield self
        for folder in self.folders:
            yield from folder.walk()


def scan(folder: Path) -> Tree:
    """List a folder.

    A file is a picture if its name ends in one of SUFFIXES, or has no ordinary ending and begins as pictures
    do. Hidden ones are left out: .DS_Store, .git, __MACOSX, and ._cat.png beside cat.png.

    Raises:
        PipelineError: a folder cannot be read, or a link leads back to a folder that it is in.
    """
    return _scan(folder, {})


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Key by which 2 comes before 10, and equal names in other Unicode forms are side by side."""
    parts = re.split(r"(\d+)", unicodedata.normalize("NFC", name))
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def _scan(folder: Path, around: dict[tuple[int, int], Path]) -> Tree:
    try:
        about = folder.stat()
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith((".", "__"))]
            names = sorted((entry.name for entry in visible), key=natural_key)
            folders = {entry.name for entry in visible if _is_folder(entry)}
    except OSError as error:
        advice = "; mend its permissions" if isinstance(error, PermissionError) else ""
        raise PipelineError(f"{files.unreadable(folder, error)}{advice}") from None
    place = (about.st_dev, about.st_ino)
    if place in around:
        raise PipelineError(
            f"{printable(folder)}: a link back to {printable(around[place])}, which it is in: a circle "
            "without end; point it elsewhere, or take it out"
        )
    if len(around) > MOST_DEEP:
        raise PipelineError(f"{printable(folder)}: more than {MOST_DEEP} folders deep; name one further in")
    paths = [folder / name for name in names if name not in folders]
    are = [is_picture(path) for path in paths]
    return Tree(
        folder,
        tuple(path for path, yes in zip(paths, are, strict=True) if yes),
        tuple(path for path, yes in zip(paths, are, strict=True) if not yes),
        tuple(_scan(folder / name, {**around, place: folder}) for name in names if name in folders),
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is one, or a link to one. Of a link that leads nowhere, reading says why."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_picture(path: Path) -> bool:
    """Whether a file counts as a picture, by its name, or where that does not tell, by how it begins."""
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if ORDINARY_SUFFIX.fullmatch(suffix) or path.name.endswith("~"):  # an editor's copy
        return False
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            return BEGINNINGS.match(file.read(16)) is not None
    except OSError:
        return False  # and so it is listed among the others
