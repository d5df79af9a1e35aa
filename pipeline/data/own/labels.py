"""Labels as people have them: whole numbers of any type, (N,) or (N, 1), one-hot rows, or texts."""

import unicodedata
from collections.abc import Mapping

import numpy as np

from pipeline.common.errors import printable
from pipeline.data.own.arrays import WrongArray
from pipeline.data.own.tree import natural_key

MOST_LABEL = 2**16 - 1
EXPECTED = "whole numbers or texts, one an image, or one-hot rows"


def read(labels: np.ndarray, images: int) -> np.ndarray:
    """One whole number or text for each image, (N,) int64 or text.

    Raises:
        WrongArray: they are not that.
    """
    shape, kind = labels.shape, labels.dtype.kind
    if kind not in "iufbUS" or shape[:1] != (images,) or len(shape) > 2:
        raise _wrong(labels, images)
    if len(shape) == 2 and shape[1] != 1:
        return _hot(labels, images)
    flat = labels.reshape(images)
    if kind == "S":
        return np.array([text.decode(errors="backslashreplace") for text in flat.tolist()])
    if kind == "U":
        return flat
    if kind == "f":
        broken = flat[~(np.isfinite(flat) & (flat == np.round(flat)) & (abs(flat) < 2**53))]
        if broken.size:
            raise WrongArray(f"should be {EXPECTED}; found {broken[0]}")
    if kind == "u" and flat.max(initial=0) > 2**63 - 1:
        raise WrongArray(f"should be {EXPECTED}; found {flat.max()}")
    return flat.astype(np.int64)


def _hot(labels: np.ndarray, images: int) -> np.ndarray:
    if labels.dtype.kind in "US" or not (((labels == 1).sum(1) == 1) & ((labels != 0).sum(1) == 1)).all():
        raise _wrong(labels, images)
    return labels.argmax(1).astype(np.int64)


def _wrong(labels: np.ndarray, images: int) -> WrongArray:
    return WrongArray(f"should be ({images},) {EXPECTED}; found {labels.shape} {labels.dtype}")


def stored(by_split: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Labels of all splits as the store has them, (N,) uint8 or uint16, and their names.

    Numbers from 0 to 65,535 stay what they are, and need no names; others, and texts, become places in the
    sorted list of all that occur.

    Raises:
        WrongArray: there are too many.
    """
    if not by_split:
        return {}, ()
    texts = any(labels.dtype.kind == "U" for labels in by_split.values())
    values = {
        split: np.array([unicodedata.normalize("NFC", str(label)) for label in labels.tolist()])
        if texts
        else labels
        for split, labels in by_split.items()
    }
    every = np.unique(np.concatenate(list(values.values())))
    if not texts and every[0] >= 0 and every[-1] <= MOST_LABEL:
        kind = np.uint8 if every[-1] <= 255 else np.uint16
        return {split: labels.astype(kind) for split, labels in values.items()}, ()
    if len(every) > MOST_LABEL + 1:
        raise WrongArray(f"should name at most {MOST_LABEL + 1:,} classes; found {len(every):,}")
    ordered = sorted(every.tolist(), key=natural_key) if texts else every.tolist()
    place = {label: n for n, label in enumerate(ordered)}
    kind = np.uint8 if len(ordered) <= 256 else np.uint16
    return {
        split: np.array([place[label] for label in labels.tolist()], kind) for split, labels in values.items()
    }, tuple(printable(label) or '""' for label in ordered)
