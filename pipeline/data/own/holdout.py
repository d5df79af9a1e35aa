"""The test split of a user's own images, and the order of the rest."""

from collections.abc import Sequence

import numpy as np

from pipeline.common.errors import listed


def interleave_classes(labels: np.ndarray) -> np.ndarray:
    """The order (N,) in which every stretch holds all classes in fair shares; within a class, as it was.

    So an end of it that is held out, for testing or for validation, is a contiguous end of each class: of
    pictures that follow each other in a film, few are parted. No chance is in it. labels: (N,) integers.
    """
    place = np.empty(len(labels))  # of an image in its class, from 0 to 1
    order = np.argsort(labels, kind="stable")
    _, counts = np.unique(labels, return_counts=True)
    for members in np.split(order, np.cumsum(counts)[:-1]):
        place[members] = (np.arange(len(members)) + 0.5) / max(1, len(members))
    return np.lexsort((labels, place))


def test_count(images: int, share: float) -> int:
    """Number of test images, the last of all, by their share: at least 1, never all. images: 2 or more."""
    return min(max(round(images * share), 1), images - 1)


def unseen_note(train: np.ndarray, held: np.ndarray, classes: Sequence[str]) -> str:
    """Sentence on held-out images of classes that no training image has; empty if there are none.

    train, held: labels, (N,) and (M,); classes: their names, or nothing where the numbers are the names.
    """
    unseen = held[~np.isin(held, train)]
    if not unseen.size:
        return ""

    def name(label: int) -> str:
        return classes[label] if classes else str(label)

    known = {name(label).casefold(): name(label) for label in np.unique(train)}
    labels = np.unique(unseen)
    named = []
    for text in map(name, labels):
        like = known.get(text.casefold())
        named.append(f"{text}, where training has {like}" if like else text)
    images = "1 image is" if len(unseen) == 1 else f"{len(unseen):,} images are"
    return f"{images} of classes that no training image has ({listed(named)}); no model can be told them"
