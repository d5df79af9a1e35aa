"""SVHN's format 1: photos of whole numbers, of which each digit becomes an image."""

import io
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from pipeline.common import files, machine_limits, paths
from pipeline.common.errors import PipelineError, listed, one_line, printable
from pipeline.common.progress import bar, console
from pipeline.data import store
from pipeline.data.svhn import archive, crops, digitstruct
from pipeline.data.svhn.digitstruct import Box
from pipeline.experiment.params import Neighbours

MOST_PIXELS = 4_000_000  # of a photo, and of what is cropped; SVHN's largest photo has 0.5 million
FARTHEST, LEAST, LARGEST = 1e5, 0.1, 1e5  # pixels: places and sides of boxes
THREADS = 8  # at most: each holds one photo in full
WAITING = 32  # photos read ahead of those that are being cropped
SHARE = 0.01  # of the digits that may be left out
NAMED = 5  # that a message names


@dataclass(frozen=True)
class CropConfig:
    """Settings by which digits are cropped (see `crops`)."""

    size: int | None  # pixels a side of an image; None goes with other data
    margin: float  # of the box's longer side, on each side of it
    neighbours: Neighbours


@dataclass(frozen=True)
class Digit:
    """One image to be."""

    photo: str
    label: int  # 0 to 9
    seen: crops.Area
    visible: crops.Area


@dataclass
class LeftOut:
    """Digits that become no image, and why."""

    digits: int = 0
    reasons: list[str] = field(default_factory=list)

    def take(self, photo: str, reason: str, digits: int = 1) -> None:
        self.digits += digits
        self.reasons.append(f"{printable(photo)} ({reason})")


def write(file: store.Writer, split: str, path: Path, cut: CropConfig) -> None:
    """Crop the digits of an archive into a split of `file`, in the order of its boxes.

    Crops wait on the disk until it is known which digits are left out; a few photos are in memory.

    Raises:
        PipelineError: the archive or its boxes are damaged or not SVHN's, or too many digits were left out.
    """
    size = cut.size
    if size is None:
        raise PipelineError(f"{paths.PARAMS}: data.size is null; full numbers need a number of pixels")
    boxes = _boxes(path, split)
    total = sum(len(of_photo) for of_photo in boxes.values())
    left_out = LeftOut()
    digits, before, after = _digits(boxes, cut, left_out)
    places: dict[str, list[int]] = {}  # of each photo's digits
    for place, digit in enumerate(digits):
        places.setdefault(digit.photo, []).append(place)
    with tempfile.TemporaryFile(dir=paths.IMAGES.parent) as room:
        shape, length = (3, size, size), 3 * size**2
        good = np.zeros(len(digits), bool)
        with bar(f"read {path.name}", path.stat().st_size, "bytes") as advance:
            for photo, cropped in _cropped(path, split, digits, places, size, advance):
                for place, image in zip(places.pop(photo), cropped, strict=True):
                    if isinstance(image, str):
                        left_out.take(photo, image)
                    else:
                        room.seek(place * length)
                        room.write(image.tobytes())
                        good[place] = True
        for photo, missing in places.items():
            left_out.take(photo, "no such photo", len(missing))
        _report(path, split, left_out, total)
        kept: list[int] = np.flatnonzero(good).tolist()
        labels = np.array([digits[place].label for place in kept], np.uint8)
        note = _note(len(kept), len(boxes), cut, before, after, left_out)
        console.print(f"{split}: {note}", markup=False, soft_wrap=True)
        source = store.Provenance(path.name, path.stat().st_size, files.md5(path), note)
        dataset = file.create(split, (len(kept), *shape), labels, source)
        for n, place in enumerate(kept):
            room.seek(place * length)
            dataset[n : n + 1] = np.frombuffer(room.read(length), np.uint8).reshape(1, *shape)


def _boxes(path: Path, split: str) -> dict[str, list[Box]]:
    """Boxes of digits by photo, in the archive's order."""
    with bar(f"look for boxes in {path.name}", path.stat().st_size, "bytes") as advance:
        found = next(archive.members(path, split, archive.BOXES.__eq__, advance), None)
    if found is None:
        raise PipelineError(
            f"{path}: no {split}/{archive.BOXES} in it; expected SVHN's archive of full numbers"
        )
    boxes: dict[str, list[Box]] = {}
    with (
        digitstruct.opened(found[1], f"{path}: {archive.BOXES}") as struct,
        bar(f"read boxes of {path.name}", len(struct), "photos") as advance,
    ):
        for photo, each in struct:
            if photo in boxes:
                raise PipelineError(
                    f"{path}: {archive.BOXES} names {printable(photo)} twice; mend the source"
                )
            boxes[photo] = each
            advance(1)
    return boxes


def _digits(
    boxes: dict[str, list[Box]], cut: CropConfig, left_out: LeftOut
) -> tuple[list[Digit], list[float], list[float]]:
    """The digits; and the share of each crop that neighbours cover, as SVHN crops them and as `cut` does."""
    digits, before, after = [], [], []
    for photo, each in boxes.items():
        for place, box in enumerate(each):
            if reason := _unusable(box):
                left_out.take(photo, reason)
                continue
            others = [*each[:place], *each[place + 1 :]]
            seen = crops.window(box, cut.margin)
            visible = crops.visible_area(box, others) if cut.neighbours == "hidden" else crops.WITHOUT_END
            digits.append(Digit(photo, int(box.label) % 10, seen, visible))
            before.append(crops.neighbours(crops.window(box, 0), crops.WITHOUT_END, others))
            after.append(crops.neighbours(seen, visible, others))
    return digits, before, after


def _unusable(box: Box) -> str:
    """Reason why a box gives no image; empty if it does."""
    if not all(map(isfinite, (box.left, box.top, box.width, box.height))):
        return "a box that is nowhere"
    if max(abs(box.left), abs(box.top)) > FARTHEST:
        return f"a box at {box.left:g}, {box.top:g}"
    if not (min(box.width, box.height) >= LEAST and max(box.width, box.height) <= LARGEST):
        return f"a box of {box.width:g}x{box.height:g} pixels"
    if box.label not in range(1, 11):
        return f"a digit labelled {box.label:g}; expected 1 to 10"
    return ""


def _cropped(
    path: Path,
    split: str,
    digits: Sequence[Digit],
    places: dict[str, list[int]],
    size: int,
    advance: archive.Advance,
) -> Iterator[tuple[str, list[np.ndarray | str]]]:
    """Yield each photo that has digits, once: its crops (3, size, size), or why there is none."""
    waiting: deque[tuple[str, Future[list[np.ndarray | str]]]] = deque()
    unmet = set(places)
    with ThreadPoolExecutor(min(THREADS, machine_limits.cores()), "crop") as pool:
        for name, content in archive.members(path, split, unmet.__contains__, advance):
            unmet.remove(name)
            mine = [digits[place] for place in places[name]]
            waiting.append((name, pool.submit(_crop, content, mine, size)))
            if len(waiting) > WAITING:
                photo, future = waiting.popleft()
                yield photo, future.result()
        for photo, future in waiting:
            yield photo, future.result()


def _crop(content: bytes, digits: Sequence[Digit], size: int) -> list[np.ndarray | str]:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                return [f"more than {MOST_PIXELS:,} pixels"] * len(digits)
            photo = np.asarray(picture.convert("RGB"))
    # Pillow answers a damaged file with whatever its decoders trip over.
    except Exception as error:
        return [f"not a whole PNG: {one_line(error)}"] * len(digits)
    return [_image(photo, digit, size) for digit in digits]


def _image(photo: np.ndarray, digit: Digit, size: int) -> np.ndarray | str:
    (height, width, _), seen = photo.shape, digit.seen
    if seen.right <= 0 or seen.bottom <= 0 or seen.left >= width or seen.top >= height:
        return f"a box outside its {width}x{height} pixels"
    if seen.side**2 > MOST_PIXELS:
        return f"a box far larger than its {width}x{height} pixels"
    return crops.crop(photo, seen, digit.visible, size)


def _report(path: Path, split: str, left_out: LeftOut, total: int) -> None:
    """Say what was left out, and refuse where that is too much."""
    reasons, listing = left_out.reasons, paths.state() / f"left-out-{split}.txt"
    if not reasons:
        listing.unlink(missing_ok=True)
        return
    files.write_text(listing, "".join(f"{reason}\n" for reason in reasons))
    named = listed(reasons, NAMED)
    said = f"{left_out.digits:,} of {total:,} digits left out: {named}; all are listed in {listing}"
    if left_out.digits > SHARE * total:
        raise PipelineError(f"{path}: {said}; at most {SHARE:.0%} may be: mend the source")
    console.print(f"{path.name}: {said}", markup=False, soft_wrap=True)


def _note(
    images: int, photos: int, cut: CropConfig, before: list[float], after: list[float], left_out: LeftOut
) -> str:
    """Sentence of the report on these crops."""
    without = f", {left_out.digits:,} left out" if left_out.digits else ""
    return (
        f"{images:,} digits of {photos:,} photos{without}; margin {cut.margin:g}, neighbours "
        f"{cut.neighbours}; other digits' boxes cover {median(after):.1%} of the median crop and "
        f"{np.mean(after):.1%} of the mean one (as SVHN crops them, "
        f"{median(before):.1%} and {np.mean(before):.1%})"
    )
