"""A folder of pictures: which are there, in which order, of which class, in which split."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.common import paths
from pipeline.common.errors import PipelineError, printable
from pipeline.data.own import holdout

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
TRAIN, TEST = paths.SPLITS[:2]
MOST_CLASSES = 2**16


@dataclass(frozen=True)
class Listing:
    """The pictures of one split."""

    title: str  # what the report calls their origin
    paths: list[Path]
    labels: np.ndarray | None  # (N,) uint8, or uint16 where there are more than 256 classes
    classes: tuple[str, ...]  # the labels' names; empty without labels


def find(folder: Path, test: float) -> dict[str, Listing]:
    """The pictures of the training and the test split.

    `train/` and `test/` in the folder are the splits; without them `test` is the share, of each class, that
    becomes the test split. Class folders stand in each split's folder; labels are their places in the sorted
    list of all their names. Pictures in class folders are sorted by path, then mixed (see `shares`).

    Raises:
        PipelineError: no picture, a class folder without one, pictures beside class folders, one split alone.
    """
    try:
        names = {path.name for path in _folders(folder)}
        if {TRAIN, TEST} <= names:
            found = {split: _classes(folder / split) for split in (TRAIN, TEST)}
        elif len(names) == 1 and names <= {TRAIN, TEST}:
            raise PipelineError(
                f"{printable(folder)}: a folder {names.pop()} alone; "
                f"expected both {TRAIN} and {TEST}, or neither"
            )
        else:
            found = {"": _classes(folder)}
    except OSError as error:
        raise _unreadable(folder, error) from None
    classes = tuple(sorted({name for by_class in found.values() for name in by_class if name is not None}))
    if len(classes) > MOST_CLASSES:
        raise PipelineError(
            f"{printable(folder)}: {len(classes):,} class folders; expected at most {MOST_CLASSES:,}"
        )
    listings = {split: _listing(split, by_class, classes) for split, by_class in found.items()}
    return listings if TRAIN in listings else _divided(folder, listings[""], test)


def left_out(folder: Path, listings: dict[str, Listing]) -> list[Path]:
    """The other visible files in the folder, pictures first: of other kinds, or beside `train` and `test`."""
    used = {path for listing in listings.values() for path in listing.paths}
    return sorted(set(_below(folder)) - used, key=lambda path: (not _is_picture(path), path))


def below(folder: Path) -> list[Path]:
    """The pictures in a folder at any depth, sorted by path; hidden ones are left out.

    Raises:
        PipelineError: a folder cannot be read.
    """
    try:
        return sorted(filter(_is_picture, _below(folder)))
    except OSError as error:
        raise _unreadable(folder, error) from None


def _unreadable(folder: Path, error: OSError) -> PipelineError:
    return PipelineError(
        f"{printable(error.filename or folder)}: cannot be read: {error.strerror}; mend its permissions"
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not _hidden(path.name))


def _hidden(name: str) -> bool:
    """Whether a system left it in a folder: .DS_Store, .git, __MACOSX, and ._cat.png beside cat.png."""
    return name.startswith((".", "__"))


def _classes(folder: Path) -> dict[str | None, list[Path]]:
    """Sorted paths by the class folder's name; under None where pictures stand in the folder itself."""
    direct = sorted(p for p in folder.iterdir() if _is_picture(p))
    folders: dict[str | None, list[Path]] = {
        p.name: sorted(filter(_is_picture, _below(p))) for p in _folders(folder)
    }
    if direct and any(folders.values()):
        name = next(name for name, inside in folders.items() if inside)
        raise PipelineError(
            f"{printable(folder)}: pictures ({printable(direct[0].name)}, ...) beside folders of pictures "
            f"({printable(name)}, ...); expected class folders alone, or pictures alone; "
            "move one of them away"
        )
    if direct:
        return {None: direct}
    if not any(folders.values()):
        others = sorted({path.suffix for path in _below(folder)} - {""})
        found = f"files of other kinds ({printable(', '.join(others))})" if others else "none"
        raise PipelineError(
            f"{printable(folder)}: no pictures; "
            f"expected {', '.join(SUFFIXES)} files, in class folders or not; "
            f"found {found}"
        )
    for name, inside in folders.items():
        if not inside:
            raise PipelineError(
                f"{printable(folder / str(name))}: a class folder without pictures; add some, or remove it"
            )
    return folders


def _below(folder: Path) -> Iterator[Path]:
    """Visible files at any depth."""

    def stop(error: OSError) -> None:
        raise error

    for top, names, inside in os.walk(folder, onerror=stop):
        names[:] = [name for name in names if not _hidden(name)]
        yield from (Path(top, name) for name in inside if not _hidden(name))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not _hidden(path.name) and path.is_file()


def _listing(split: str, by_class: dict[str | None, list[Path]], classes: tuple[str, ...]) -> Listing:
    title = f"pictures in {split}" if split else "pictures"
    if None in by_class:
        return Listing(title, by_class[None], None, ())
    index = {name: label for label, name in enumerate(classes)}
    ordered = [path for name in by_class for path in by_class[name]]
    labels = np.array(
        [index[str(name)] for name in by_class for _ in by_class[name]],
        np.uint8 if len(classes) <= 256 else np.uint16,
    )
    order = holdout.interleave_classes(labels)
    return Listing(title, [ordered[i] for i in order], labels[order], tuple(map(printable, classes)))


def _divided(folder: Path, whole: Listing, test: float) -> dict[str, Listing]:
    if len(whole.paths) < 2:
        raise PipelineError(
            f"{printable(folder)}: one picture; expected at least 2: to train on, and to test on"
        )
    start = len(whole.paths) - holdout.held_out_count(len(whole.paths), test)
    return {
        split: replace(
            whole,
            paths=whole.paths[part],
            labels=None if whole.labels is None else whole.labels[part],
        )
        for split, part in ((TRAIN, slice(start)), (TEST, slice(start, None)))
    }
