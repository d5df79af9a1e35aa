"""The test split of a user's own images, and the order of the rest."""

import numpy as np


def interleave_classes(labels: np.ndarray) -> np.ndarray:
    """The order (N,) in which every stretch holds all classes in fair shares; within a class, as it was.

    So an end of it that is held out, for testing or for validation, is a contiguous end of each class: of
    pictures that follow each other in a film, few are parted. No chance is in it. labels: (N,) integers.
    """
    place = np.empty(len(labels))  # of an image in its class, from 0 to 1
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((labels, place))


def held_out_count(images: int, share: float) -> int:
    """Number of images, the last ones, in that share: at least one, never all. `images` is 2 or more."""
    return min(max(round(images * share), 1), images - 1)
