"""Made-up house numbers that stand in for SVHN's cropped digits where SVHN itself is not at hand.

A crop comes about as in a photo: a number in one face and pose, a wall and paint, light, and a camera with a
soft lens, noise and JPEG. Each is a function that works on a block of images at once, with random numbers of
the block's own. Their ranges are fitted to a slice of SVHN: its brightness, contrast, tint and sharpness.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dctn, idctn
from scipy.ndimage import map_coordinates

from pipeline.common import machine_limits
from pipeline.data.synthetic.glyphs import CELL, FACES, GLYPH, glyph_atlas

BLOCK = 256  # images drawn together
SIZE = 32  # pixels a side of a crop
CANVAS = 40  # pixels a side of a scene: a tile more than the crop, which so starts anywhere in JPEG's grid
TILE = 8  # pixels a side of what JPEG compresses together
THREADS = 8  # at most: each takes some 50 MB

# How often each digit occurs in SVHN's training set, and house numbers there of one to four digits.
DIGITS = np.array([4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659])
LENGTHS = np.array([5137, 18130, 8691, 1434])


class Number(NamedTuple):
    """House numbers, one an image. Places are in digit heights along the number, 0 in the labelled digit."""

    digits: np.ndarray  # (BLOCK, 4) uint8, of which the first `length` are there
    length: np.ndarray  # (BLOCK,) 1 to 4
    label: np.ndarray  # (BLOCK,) uint8, the digit in the middle of the crop
    face: np.ndarray  # (BLOCK,) index into FACES
    middle: np.ndarray  # (BLOCK, 4) of each digit's ink
    start: np.ndarray  # (BLOCK,) of the first digit's ink
    stop: np.ndarray  # (BLOCK,) of the last digit's ink


class Pose(NamedTuple):
    """Position of a number in its scene."""

    u: np.ndarray  # (BLOCK, 40, 40) each pixel's place along the number in digit heights
    v: np.ndarray  # (BLOCK, 40, 40) its place across, downwards, -0.5 to 0.5 in the digits
    height: np.ndarray  # (BLOCK, 1, 1) of the digits in pixels


def generate(
    count: int, *, seed: int, split: str, progress: Callable[[int], None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw house-number crops, each with its labelled digit in the middle.

    Equal arguments give equal bytes on one machine, whatever its threads; a smaller count gives a prefix.

    Args:
        count: 0 or more.
        seed: 0 or more.
        split: any name; each has images of its own.
        progress: called with the number of images that each finished block adds.

    Returns:
        images (count, 3, 32, 32) uint8 RGB, labels (count,) uint8 digits 0 to 9.
    """
    images = np.empty((count, 3, SIZE, SIZE), np.uint8)
    labels = np.empty(count, np.uint8)
    starts = range(0, count, BLOCK)
    glyph_atlas()  # once, before the threads ask for it
    with ThreadPoolExecutor(min(THREADS, machine_limits.cores())) as pool:
        blocks = pool.map(partial(draw_block, seed, split), range(len(starts)))
        for start, (block_images, block_labels) in zip(starts, blocks, strict=True):
            size = min(BLOCK, count - start)
            images[start : start + size] = block_images[:size]
            labels[start : start + size] = block_labels[:size]
            if progress:
                progress(size)
    return images, labels


def draw_block(seed: int, split: str, index: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (BLOCK, 3, 32, 32) uint8 and labels (BLOCK,) uint8."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*split.encode(), index)))
    # Row and column of the scene where the crop starts.
    corner = rng.integers(CANVAS - SIZE + 1, size=(BLOCK, 2))
    brightness = 0.1 + 0.85 * rng.beta(1.7, 2.35, BLOCK)
    number = choose_number(rng)
    pose = choose_pose(rng, corner)
    scene = background(rng, number, pose)
    scene = ink(rng, scene, stroke_depth(rng, number, pose), brightness)
    photo = photograph(rng, light(rng, scene), brightness)
    return to_rgb(windows(photo, corner, SIZE)), number.label


def choose_number(rng: np.random.Generator) -> Number:
    """Draw one to four digits, the one to be labelled, and their places in a face."""
    images, lengths = np.arange(BLOCK), np.arange(1, 5)
    digits = rng.choice(10, (BLOCK, 4), p=DIGITS / DIGITS.sum()).astype(np.uint8)
    crops = LENGTHS * lengths  # a number gives as many crops as it has digits
    length = rng.choice(lengths, BLOCK, p=crops / crops.sum())
    labelled = rng.integers(length)
    weights = np.array(list(FACES.values()))
    face = rng.choice(len(FACES), BLOCK, p=weights / weights.sum())

    width = glyph_atlas().width[face[:, None], digits]
    gap = rng.uniform(0.04, 0.26, (BLOCK, 1))
    stop = np.cumsum(width + gap, axis=1) - gap
    middle = stop - width / 2
    origin = middle[images, labelled]
    last = stop[images, length - 1]
    return Number(
        digits, length, digits[images, labelled], face, middle - origin[:, None], -origin, last - origin
    )


def choose_pose(rng: np.random.Generator, corner: np.ndarray) -> Pose:
    """Put the labelled digit near the crop's middle, a little turned, squeezed, slanted and foreshortened."""
    middle = corner + (SIZE - 1) / 2 + rng.normal(0, 1.1, (BLOCK, 2))
    y = np.arange(CANVAS, dtype=np.float32)[:, None] - per_image(middle[:, 0])
    x = np.arange(CANVAS, dtype=np.float32) - per_image(middle[:, 1])
    height = per_image(rng.normal(23, 4, BLOCK).clip(13, 31))
    squeeze = per_image(rng.lognormal(-0.33, 0.18, BLOCK))
    turn, slant = per_image(rng.normal(0, 0.035, BLOCK)), per_image(rng.normal(0, 0.05, BLOCK))
    # An upright camera beside a wall keeps its verticals upright and lets its horizontals slope.
    slope = per_image(rng.normal(0, 0.08, BLOCK))
    nearness = 1 + per_image(rng.normal(0, 0.004, BLOCK)) * x + per_image(rng.normal(0, 0.002, BLOCK)) * y
    down = np.cos(turn) * y - (np.sin(turn) + slope) * x
    along = np.cos(turn) * x + np.sin(turn) * y + slant * down
    return Pose(along / (height * squeeze * nearness), down / (height * nearness), height)


def stroke_depth(rng: np.random.Generator, number: Number, pose: Pose) -> np.ndarray:
    """Depth of each pixel inside the nearest stroke's edge, in pixels (BLOCK, 40, 40), negative outside."""
    atlas = glyph_atlas()
    depth = np.full_like(pose.u, -1)
    for slot in range(4):
        shown = np.flatnonzero(slot < number.length)
        u, v = pose.u[shown] - per_image(number.middle[shown, slot]), pose.v[shown]
        column, row = ((at * GLYPH + (CELL - 1) / 2).clip(0, CELL - 1) for at in (u, v))
        cell = number.face[shown] * 10 + number.digits[shown, slot]
        places = np.stack([row + per_image(cell * CELL), column])
        depth[shown] = np.maximum(depth[shown], map_coordinates(atlas.distance, places, np.float32, order=1))
    weight = per_image(rng.normal(0.018, 0.018, BLOCK))  # the same face comes bolder and lighter
    return (depth + weight) * pose.height


def background(rng: np.random.Generator, number: Number, pose: Pose) -> np.ndarray:
    """Draw what bears the number: a blotchy plate, some with joints or a frame, and a wall beyond its edges.

    A scene (BLOCK, 3, 40, 40) float32 holds luminance, 0 for the plate and 1 or -1 for the ink, and chroma:
    Cb, and by how much Cr differs from what usually goes with that Cb.
    """
    u, v, height = pose
    scene = blotches(rng)
    for plane, strength in enumerate((0.1, 0.011, 0.006)):
        scene[:, plane] *= per_image(rng.lognormal(np.log(strength), 0.5, BLOCK))

    courses = np.where(sometimes(rng, 0.4), u, v) / per_image(rng.uniform(0.3, 1.5, BLOCK))
    joint = 0.03 - np.abs((courses + per_image(rng.random(BLOCK))) % 1 - 0.5)
    scene = paint(rng, scene, joint * height, share=0.1, luminance=rng.normal(0, 0.5, BLOCK), tint=0.01)

    left, right, above, below = (per_image(rng.lognormal(at, 0.8, BLOCK)) for at in (-1.2, -1.2, -1, -1))
    beside = np.maximum(per_image(number.start) - left - u, u - per_image(number.stop) - right)
    wall = np.maximum(beside, np.maximum(-0.5 - above - v, v - 0.5 - below))
    scene = paint(rng, scene, wall * height, share=0.6, luminance=rng.normal(0, 0.7, BLOCK), tint=0.02)
    frame = 0.03 - np.abs(wall + 0.06)
    return paint(rng, scene, frame * height, share=0.08, luminance=rng.normal(0, 0.8, BLOCK), tint=0.01)


def ink(rng: np.random.Generator, scene: np.ndarray, depth: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """The scene with the number on it, and beneath some a soft shadow aside or a halo around."""
    spread = np.pad(depth / per_image(rng.uniform(1, 4, BLOCK)), ((0, 0), (2, 2), (2, 2)), "edge")
    shadow = windows(spread, rng.integers(5, size=(BLOCK, 2)), CANVAS)
    scene = paint(rng, scene, shadow, share=0.4, luminance=rng.normal(0, 0.5, BLOCK), tint=0.005)
    # Bright pictures are mostly of dark ink on a bright plate, dark ones the reverse.
    bright_ink = rng.random(BLOCK) < 1 / (1 + np.exp(10 * (brightness - 0.41)))
    return paint(rng, scene, depth, share=1, luminance=np.where(bright_ink, 1, -1), tint=0.012)


def light(rng: np.random.Generator, scene: np.ndarray) -> np.ndarray:
    """The scene in light that falls off to one side, and in some with a shadow's edge across."""
    x = np.linspace(-1, 1, CANVAS, dtype=np.float32)
    y = x[:, None]
    falloff = per_image(rng.normal(0, 0.15, BLOCK)) * x + per_image(rng.normal(0, 0.08, BLOCK)) * y
    angle = per_image(rng.uniform(0, 2 * np.pi, BLOCK))
    inside = np.cos(angle) * x + np.sin(angle) * y + per_image(rng.uniform(-1, 1, BLOCK))
    shadow = (6 * inside).clip(0, 1) * per_image(rng.exponential(0.4, BLOCK)) * sometimes(rng, 0.12)
    lit = scene.copy()
    lit[:, 0] += falloff - shadow
    return lit


def photograph(rng: np.random.Generator, scene: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """The camera's YCbCr (BLOCK, 3, 40, 40): luminance about 0 to 1, chroma about -0.5 to 0.5."""
    sigma = rng.lognormal(np.log(0.8), 0.37, BLOCK)
    stretch = rng.lognormal(0, 0.15, BLOCK)
    photo = blur(scene, sigma * stretch, sigma / stretch, sharpening=rng.exponential(0.3, BLOCK))
    photo = expose(rng, photo, brightness)
    noise = rng.standard_normal(photo.shape, np.float32) * per_image(np.array([1, 0.5, 0.5]))
    photo += noise * per_image(rng.lognormal(np.log(0.0045), 0.6, BLOCK))[:, None]
    photo = compress(photo, rng.lognormal(np.log(0.009), 0.6, BLOCK))
    # Many crops are small pictures made large, after they were compressed.
    return blur(photo, 0.75 * sigma, 0.75 * sigma, sharpening=np.zeros(BLOCK))


def expose(rng: np.random.Generator, scene: np.ndarray, brightness: np.ndarray) -> np.ndarray:
    """The scene as YCbCr of that mean luminance (BLOCK,), with a contrast and a tint drawn for each image."""
    y, cb, cr = np.moveaxis(scene, 1, 0)
    contrast = (0.03 + rng.lognormal(np.log(0.093), 0.49, BLOCK)) * np.sqrt((brightness / 0.25).clip(0, 1))
    y = y - y.mean((1, 2), keepdims=True)
    y *= per_image(contrast) / y.std((1, 2), keepdims=True)

    room = 4 * brightness * (1 - brightness)  # near black and white there is little for colour
    warmth = rng.exponential(0.035, BLOCK) * (rng.random(BLOCK) < 0.18)  # brick, wood, lamplight
    cb = cb + per_image(0.03 * brightness + room * (0.019 * rng.standard_t(3, BLOCK) - 0.8 * warmth))
    cr = cr + per_image(room * (0.003 + 0.006 * rng.standard_t(4, BLOCK) + 0.5 * warmth))
    # What gets less light gets more of it from the blue sky.
    cb -= per_image(rng.normal(0.07, 0.05, BLOCK)) * y
    cr -= per_image(rng.normal(0.045, 0.04, BLOCK)) * y
    # A lens does not quite bring the colours together: edges have fringes.
    cb += per_image(rng.normal(0, 0.06, BLOCK)) * np.gradient(y, axis=2)
    cr -= 0.55 * cb  # colours vary from blue to orange more than from green to purple

    y += per_image(brightness)
    y = (y + np.hypot(y, 0.1)) / 2  # stray light keeps black above 0
    return np.stack([y, cb, cr], 1)


def blur(photo: np.ndarray, down: np.ndarray, across: np.ndarray, sharpening: np.ndarray) -> np.ndarray:
    """Gaussian blur of standard deviations (BLOCK,) in pixels, then an unsharp mask of strengths (BLOCK,).

    Both are products in the cosine basis, which mirrors the picture at its edges.
    """
    frequency = np.pi / CANVAS * np.arange(CANVAS, dtype=np.float32)
    fy, fx = frequency[:, None] ** 2, frequency**2
    gain = np.exp(-(per_image(down) ** 2 * fy + per_image(across) ** 2 * fx) / 2)
    gain *= 1 + per_image(sharpening) * (1 - np.exp(-2 * (fy + fx)))
    return idctn(dctn(photo, axes=(2, 3)) * gain[:, None], axes=(2, 3))


def compress(photo: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Round 8x8 tiles' cosines like JPEG, in steps (BLOCK,) that grow with frequency; halve chroma's size."""
    tiles = photo.reshape(BLOCK, 3, CANVAS // TILE, TILE, CANVAS // TILE, TILE)
    order = np.arange(TILE, dtype=np.float32)
    steps = per_image(step)[..., None, None, None] * (1 + 0.5 * (order[:, None, None] + order))
    cosines = np.round(dctn(tiles, axes=(3, 5), norm="ortho") / steps) * steps
    cosines[:, 1:, :, TILE // 2 :] = 0
    cosines[:, 1:, ..., TILE // 2 :] = 0
    return idctn(cosines, axes=(3, 5), norm="ortho").reshape(photo.shape)


def to_rgb(photo: np.ndarray) -> np.ndarray:
    """YCbCr (N, 3, H, W) as RGB uint8 (ITU-R BT.601, full range)."""
    y, cb, cr = np.moveaxis(photo, 1, 0)
    rgb = np.stack([y + 1.402 * cr, y - 0.344 * cb - 0.714 * cr, y + 1.772 * cb], 1)
    return np.rint(255 * rgb.clip(0, 1)).astype(np.uint8)


def blotches(rng: np.random.Generator) -> np.ndarray:
    """Noise (BLOCK, 3, 40, 40) float32 of mean 0 and standard deviation near 1, strongest where smoothest."""
    frequency = np.arange(CANVAS, dtype=np.float32)
    amplitude = 1 / (1 + np.hypot(frequency[:, None], frequency)) ** 2
    amplitude[0, 0] = 0
    amplitude *= CANVAS / np.sqrt(np.square(amplitude).sum())
    spectrum = rng.standard_normal((BLOCK, 3, CANVAS, CANVAS), np.float32) * amplitude
    return idctn(spectrum, axes=(2, 3), norm="ortho")


def paint(
    rng: np.random.Generator,
    scene: np.ndarray,
    depth: np.ndarray,
    *,
    share: float,
    luminance: np.ndarray,
    tint: float,
) -> np.ndarray:
    """The scene with paint, in a share of the images, where `depth` (pixels inside an edge) is positive."""
    cover = (depth + 0.5).clip(0, 1) * sometimes(rng, share)
    colour = np.stack([luminance, *rng.laplace(0, [[tint], [tint / 2]], (2, BLOCK))], 1).astype(np.float32)
    return scene + cover[:, None] * (colour[:, :, None, None] - scene)


def windows(pictures: np.ndarray, corner: np.ndarray, size: int) -> np.ndarray:
    """The square of each picture (BLOCK, ..., H, W) that starts at its own row and column (BLOCK, 2)."""
    views = sliding_window_view(pictures, (size, size), axis=(-2, -1))
    return views[np.arange(BLOCK), ..., corner[:, 0], corner[:, 1], :, :]


def sometimes(rng: np.random.Generator, share: float) -> np.ndarray:
    """Whether, for each image (BLOCK, 1, 1): true in that share of them."""
    return rng.random((BLOCK, 1, 1)) < share


def per_image(values: np.ndarray) -> np.ndarray:
    """(N,) as (N, 1, 1) float32, to meet pictures."""
    return values.astype(np.float32)[:, None, None]
