"""Blocks of images under their checksums: damage of many kinds is found, whatever the sizes."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import checked_images, store
from pipeline.data.block_checksum import WIDTHS, block_checksum
from tests.helpers.drawings import noise

Damage = Callable[[np.ndarray, np.random.Generator], None]

PAGE = 4096  # bytes
VALUE = 10385696874634996416  # of the images of a test below, worked out by hand
SHAPES = [
    (1, 8, 8),
    (5, 3, 33, 31),
    (500, 27, 27),  # of an odd number of bytes
    (700, 3, 32, 32),
    (300, 64, 64),
    (90, 3, 100, 101),  # an image has more integers than a row
    (4096, 3, 32, 32),
]


def moved_squares(*shape: int) -> np.ndarray:
    """One square, white on black, 8 pixels further in each image: images of equal sums."""
    images = np.zeros(shape, np.uint8)
    side = shape[-1]
    for number, image in enumerate(images):
        start = number * 8 % max(1, side - 7)
        image[..., 2:6, start : start + 4] = 255
    return images


def flip(data: np.ndarray, draw: np.random.Generator) -> None:
    data[draw.integers(len(data))] ^= np.uint8(1 << draw.integers(8))


def byte(data: np.ndarray, draw: np.random.Generator) -> None:
    data[draw.integers(len(data))] ^= np.uint8(draw.integers(1, 256))


def run(data: np.ndarray, draw: np.random.Generator) -> None:
    start = draw.integers(len(data))
    data[start : start + draw.integers(1, len(data) + 1)] ^= np.uint8(draw.integers(1, 256))


def page_of_zeros(data: np.ndarray, draw: np.random.Generator) -> None:
    start = draw.integers(-(-len(data) // PAGE)) * PAGE
    data[start : start + PAGE] = 0


def page_of_another_place(data: np.ndarray, draw: np.random.Generator) -> None:
    first, second = (PAGE * int(draw.integers(-(-len(data) // PAGE))) for _ in range(2))
    length = min(PAGE, len(data) - max(first, second))
    data[first : first + length] = data[second : second + length]


def integers_swapped(data: np.ndarray, draw: np.random.Generator) -> None:
    swap(data, 8, draw)


def rows_swapped(data: np.ndarray, draw: np.random.Generator) -> None:
    swap(data, WIDTHS[draw.integers(2)] * 8, draw)


def highest_bits(data: np.ndarray, draw: np.random.Generator) -> None:
    """Of all integers of an even number of rows: they cancel in that layout."""
    row = WIDTHS[draw.integers(2)] * 8
    length = 2 * row * int(draw.integers(1, 3))
    start = row * draw.integers(max(1, (len(data) - length) // row))
    data[start : start + length][7::8] ^= 128


def shifted(data: np.ndarray, draw: np.random.Generator) -> None:
    start, distance = draw.integers(len(data)), draw.choice([1, 8, 512, WIDTHS[0] * 8])
    moved = data[start:].copy()
    data[start + distance :] = moved[: max(0, len(moved) - distance)]


def swap(data: np.ndarray, length: int, draw: np.random.Generator) -> None:
    """Exchange two pieces that stand at multiples of their length."""
    if (count := len(data) // length) > 1:
        first, second = (slice(n * length, (n + 1) * length) for n in draw.choice(count, 2, replace=False))
        data[first], data[second] = data[second].copy(), data[first].copy()


DAMAGES: tuple[Damage, ...] = (
    flip, byte, run, page_of_zeros, page_of_another_place, integers_swapped, rows_swapped, highest_bits,
    shifted,
)  # fmt: skip


@pytest.mark.parametrize("make", [noise, moved_squares])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_damage_is_found(shape: tuple[int, ...], make: Callable[..., np.ndarray]) -> None:
    images = make(*shape)
    whole, draw, found = block_checksum(images), np.random.default_rng(0), set()
    for damage in DAMAGES:
        for _ in range(15):
            damaged = images.copy()
            damage(damaged.reshape(-1), draw)
            if not np.array_equal(damaged, images):
                assert block_checksum(damaged) != whole, damage.__name__
                found.add(damage)
    assert len(found) > 3


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_swapped_images_are_found(shape: tuple[int, ...]) -> None:
    images = moved_squares(*shape)
    whole = block_checksum(images)
    first = images[0].copy()
    for place in range(1, min(len(images), 200)):
        if not np.array_equal(images[place], first):
            images[0], images[place] = images[place].copy(), first
            assert block_checksum(images) != whole, place
            images[place], images[0] = images[0].copy(), first


def test_each_half_finds_what_cancels_in_the_other() -> None:
    integers = np.zeros((64, WIDTHS[0], 8), np.uint8)
    whole = block_checksum(integers)
    integers[0, 5, 7] = integers[1, 5, 7] = 128
    low, high = (block_checksum(integers) ^ whole) & 0xFFFFFFFF, (block_checksum(integers) ^ whole) >> 32
    assert low == 0
    assert high != 0


def test_no_two_integers_of_a_block_share_a_column_in_both_layouts() -> None:
    assert np.lcm(*WIDTHS) * 8 >= checked_images.BLOCK_BYTES


def test_zeros_of_other_lengths_are_told_apart() -> None:
    lengths = [*range(1, 40), *(width * 8 * rows for width in WIDTHS for rows in range(1, 5))]
    assert len({block_checksum(np.zeros(length, np.uint8)) for length in lengths}) == len(lengths)


def test_its_value_is_the_same_everywhere() -> None:
    """Files go from machine to machine."""
    images = (np.arange(30_003) * 7 % 251).astype(np.uint8)
    assert block_checksum(images) == VALUE
    unaligned = np.empty(30_004, np.uint8)[1:]
    unaligned[:] = images
    assert block_checksum(unaligned) == VALUE


@pytest.mark.parametrize("shape", [(100, 9, 9), (23, 3, 9, 11)])
@pytest.mark.parametrize("parts", [(1,), (7, 16, 32), (5, 40), (16,), (33, 1)])
def test_images_in_parts_become_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], parts: tuple[int, ...]
) -> None:
    monkeypatch.setattr(checked_images, "BLOCK", 16)
    images = noise(*shape)
    with store.create(tmp_path / "whole.h5") as file:
        file.create("train", shape, None)[:] = images
    with store.create(tmp_path / "parts.h5") as file:
        room, start, turn = file.create("train", shape, None), 0, 0
        while start < len(images):
            count = parts[turn % len(parts)]
            room[start : start + count] = images[start : start + count]
            start, turn = start + count, turn + 1
    assert (tmp_path / "parts.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    with store.read(tmp_path / "parts.h5", None) as splits:
        assert np.array_equal(splits["train"].images[:], images)
        assert np.array_equal(splits["train"].images[15:18], images[15:18])
    with h5py.File(tmp_path / "parts.h5") as file:
        blocks = [images[start : start + 16] for start in range(0, len(images), 16)]
        assert file["train/checksums"][:].tolist() == [block_checksum(block) for block in blocks]


def test_images_are_filled_in_order_and_all_of_them(workspace: Path) -> None:
    with pytest.raises(ValueError, match="images 2 to 3 after 0"), store.create(paths.IMAGES) as file:
        file.create("train", (3, 8, 8), None)[2:] = 0
    with pytest.raises(ValueError, match="2 images of 3"), store.create(paths.IMAGES) as file:
        file.create("train", (3, 8, 8), None)[:2] = 0
    assert not paths.IMAGES.exists()


def test_a_damaged_block_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked_images, "BLOCK", 16)
    path = tmp_path / "x.h5"
    images = noise(40, 9, 9)
    with store.create(path) as file:
        file.create("test", images.shape, None)[:] = images
    data = bytearray(path.read_bytes())
    data[data.index(images[20].tobytes()) + 80] ^= 1
    path.write_bytes(data)
    with store.read(path, None) as splits:
        found = splits["test"].images
        assert np.array_equal(found[:16], images[:16])
        assert np.array_equal(found[32:], images[32:])
        with pytest.raises(PipelineError, match=r"x.h5: not whole: images 16 to 31 of test are not what was"):
            found[10:20]
