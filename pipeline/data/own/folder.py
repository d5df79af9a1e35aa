"""A folder of pictures: which are there, in which order, of which class, in which split."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np

from pipeline.common.errors import PipelineError, printable
from pipeline.data.own import holdout, tree
from pipeline.data.own.layout import divide
from pipeline.data.own.split_names import TEST, TRAIN
from pipeline.data.own.tree import Tree

MOST_CLASSES = 2**16


@dataclass(frozen=True)
class Picture:
    """One picture: a file, or one of the frames or pages of a file."""

    path: Path
    frame: int = 0


@dataclass(frozen=True)
class Listing:
    """The pictures of one split."""

    title: str  # what the report calls their origin
    pictures: list[Picture]
    labels: np.ndarray | None  # (N,) uint8, or uint16 where there are more than 256 classes
    classes: tuple[str, ...]  # the labels' names; empty without labels
    note: str = ""  # a sentence for the report


@dataclass(frozen=True)
class Found:
    """All that was found in a folder: nothing is left without a word."""

    listings: dict[str, Listing]  # by split
    left_out: list[Path]  # pictures and files that no split has
    notes: list[str] = field(default_factory=list)  # lines on how the folder was read


# The pictures that a file holds (see `pictures.frames`), of many files in their order.
Expand = Callable[[Sequence[Path]], Iterable[list[Picture]]]


def whole_files(files: Sequence[Path]) -> Iterable[list[Picture]]:
    """Each file as one picture."""
    return ([Picture(path)] for path in files)


def find(folder: Path, test: float, expand: Expand = whole_files) -> Found:
    """The pictures of the training and the test split, and of a validation split where there is one.

    Which folders are splits `layout.divide` tells; without a test split `test` is the share, of each class,
    that becomes it. Class folders stand in each split's folder; labels are their places in the list of all
    their names, sorted as people count. Pictures in class folders are sorted by path, then mixed (see
    `holdout`).

    Raises:
        PipelineError: no picture, a class folder without one, pictures beside class folders, splits that are
            ambiguous; or a folder cannot be read.
    """
    root = tree.scan(folder)
    folders, notes = divide(root)
    found = {split: _classes(of_split) for split, of_split in folders.items()}
    names = {name for by_class in found.values() for name in by_class if name is not None}
    classes = tuple(sorted(names, key=tree.natural_key))
    if len(classes) > MOST_CLASSES:
        raise PipelineError(
            f"{printable(folder)}: {len(classes):,} class folders; expected at most {MOST_CLASSES:,}"
        )
    used = set(chain.from_iterable(paths for by_class in found.values() for paths in by_class.values()))
    left_out = [path for path in root.below() if path not in used] + list(root.others_below())
    listings = {split: _listing(split, by_class, classes, expand) for split, by_class in found.items()}
    if TRAIN not in listings:
        listings = _divided(folder, listings[""], test)
    elif TEST not in listings:
        listings |= _divided(folder, listings[TRAIN], test)
    listings = {split: _described(listings[TRAIN], listing) for split, listing in listings.items()}
    notes += [f"{split}: {listing.note}" for split, listing in listings.items() if listing.note]
    return Found(listings, left_out, notes)


def class_of_each(folder: Path) -> dict[Path, str | None]:
    """Every picture in a folder, at any depth, and the name of its class, where it has one.

    The pictures of all splits, in the order of the tree. Where the folder is none that `find` would take,
    there are no classes.

    Raises:
        PipelineError: a folder cannot be read.
    """
    root = tree.scan(folder)
    classes: dict[Path, str | None] = dict.fromkeys(root.below())
    try:
        divided = [_classes(of_split) for of_split in divide(root)[0].values()]
    except PipelineError:
        return classes
    for by_class in divided:
        classes |= {path: name for name, paths in by_class.items() for path in paths}
    return classes


def _classes(folder: Tree) -> dict[str | None, list[Path]]:
    """Paths by the class folder's name; under None where pictures stand in the folder itself."""
    where, inside = printable(folder.path), {sub: list(sub.below()) for sub in folder.folders}
    if folder.pictures and any(inside.values()):
        name = next(sub.name for sub, paths in inside.items() if paths)
        raise PipelineError(
            f"{where}: pictures ({printable(folder.pictures[0].name)}, ...) beside folders of pictures "
            f"({printable(name)}, ...); expected class folders alone, or pictures alone; "
            "move one of them away"
        )
    if folder.pictures:
        return {None: list(folder.pictures)}
    if not any(inside.values()):
        suffixes = sorted({path.suffix for path in folder.others_below()} - {""})
        found = f"files of other kinds ({printable(', '.join(suffixes))})" if suffixes else "none"
        raise PipelineError(
            f"{where}: no pictures; expected {', '.join(tree.SUFFIXES)} files, in class folders or not; "
            f"found {found}"
        )
    by_class: dict[str | None, list[Path]] = {}
    for sub, paths in inside.items():
        if not paths:
            raise PipelineError(
                f"{printable(sub.path)}: a class folder without pictures; add some, or take it out"
            )
        if sub.name in by_class:
            raise PipelineError(
                f"{where}: two class folders {printable(sub.name)}, whose names differ only in how Unicode "
                "writes them; put them together, or give one another name"
            )
        by_class[sub.name] = paths
    return by_class


def _listing(
    split: str, by_class: Mapping[str | None, list[Path]], classes: tuple[str, ...], expand: Expand
) -> Listing:
    title = f"pictures in {split}" if split else "pictures"
    pictures = [
        (name, picture)
        for name, paths in by_class.items()
        for of_file in expand(paths)
        for picture in of_file
    ]
    if None in by_class:
        return Listing(title, [picture for _, picture in pictures], None, ())
    index = {name: label for label, name in enumerate(classes)}
    labels = np.array(
        [index[str(name)] for name, _ in pictures], np.uint8 if len(classes) <= 256 else np.uint16
    )
    order = holdout.interleave_classes(labels)
    return Listing(title, [pictures[i][1] for i in order], labels[order], tuple(map(printable, classes)))


def _divided(folder: Path, whole: Listing, test: float) -> dict[str, Listing]:
    if len(whole.pictures) < 2:
        raise PipelineError(
            f"{printable(folder)}: one picture; expected at least 2: to train on, and to test on"
        )
    start = len(whole.pictures) - holdout.test_count(len(whole.pictures), test)
    return {
        split: replace(
            whole,
            pictures=whole.pictures[part],
            labels=None if whole.labels is None else whole.labels[part],
        )
        for split, part in ((TRAIN, slice(start)), (TEST, slice(start, None)))
    }


def _described(train: Listing, listing: Listing) -> Listing:
    """The listing with a note on its classes that training has not."""
    if train.labels is None or listing.labels is None:
        return listing
    return replace(listing, note=holdout.unseen_note(train.labels, listing.labels, listing.classes))
