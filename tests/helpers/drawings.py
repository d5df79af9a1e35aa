"""Pictures for tests, drawn here."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def draw(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def pictures(folder: Path, count: int = 12) -> dict[Path, bytes]:
    """PNGs in a folder, and what is in each."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(count):
        Image.fromarray(np.full((32, 32, 3), 100 + n, np.uint8)).save(folder / f"{n}.png")
    return {path: path.read_bytes() for path in folder.rglob("*.png")}


def png(depth: int, colour: int, width: int, height: int, rows: bytes) -> bytes:
    """A PNG by its specification, for what Pillow does not write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
