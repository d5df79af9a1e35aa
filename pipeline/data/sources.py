"""Kinds of `data.source`, told apart in one place: by names alone, nothing is read."""

from pathlib import Path
from typing import Literal

from pipeline.common import paths
from pipeline.data.svhn.archive import BOXES
from pipeline.experiment.params import SYNTHETIC, Format

Kind = Literal[
    "generated",  # house numbers that are drawn here
    "server",  # a URL below which SVHN's files are
    "svhn",  # a folder that holds SVHN's files
    "own",  # a folder of pictures, or an .npz file
]


def kind_of(source: str, files: Format) -> Kind:
    """The kind of a source, by params.yaml's data.source and data.format; it need not be there."""
    if source == SYNTHETIC:
        return "generated"
    if "://" in source:
        return "server"
    if files == "full" or any(_is_there(path_of(source) / paths.raw(s).name) for s in paths.SVHN_SPLITS):
        return "svhn"
    return "own"


def is_local(source: str) -> bool:
    """Whether a source is on this disk: no URL, and not generated."""
    return source != SYNTHETIC and "://" not in source


def path_of(source: str) -> Path:
    """The path that a local source names. One with an unknown user's ~ stays as it is, and is not found.

    In an experiment that runs in a copy of its workspace, a relative one that the copy has not is the
    workspace's.
    """
    try:
        path = Path(source).expanduser()
    except RuntimeError:
        path = Path(source)
    elsewhere = paths.main_workspace() / path
    return elsewhere if not path.exists() and elsewhere.exists() else path


def photos_in(folder: Path, split: str) -> Path | None:
    """SVHN's photos of full numbers of a split in a folder: an archive, packed or not, or a folder."""
    packed = paths.archive(split).name
    for path in (folder / packed, folder / packed.removesuffix(".gz"), folder / split):
        if _is_there(path / BOXES if path.name == split else path):
            return path
    return None


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # of a folder that is closed to us: whoever reads it says so
        return False
