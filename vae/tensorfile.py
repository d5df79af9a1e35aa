"""Tensors and a description of them in one file: safetensors, so that reading one runs no code.

The description is JSON in the file's metadata, beside a CRC-32 of it and of all tensors.
"""

import json
import zlib
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, uint8

# One key, because safetensors writes several in no fixed order, and equal contents must be equal bytes.
KEY = "vaepipe"
PARTS = {"about", "crc32"}
MOST_ABOUT = 1 << 25  # bytes of a description
REASON = 200  # characters of an error that another says


class ModelFileError(ValueError):
    """A file that is none of ours, or not the one expected; the message names it."""


def write(path: Path, about: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write a file. Equal contents give equal bytes."""
    path.write_bytes(encode(about, tensors))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read tensors and what was said of them, as `write` got them, to the bit.

    Raises:
        ModelFileError: the file is not there, cannot be read, is damaged, or another kind.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such model file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    return decode(data, path)


def encode(about: dict[str, Any], tensors: dict[str, Tensor]) -> bytes:
    """The bytes of a file."""
    return bytes(save(tensors, {KEY: json.dumps({"about": about, "crc32": _crc32(about, tensors)})}))


def decode(data: bytes, path: Path | str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What `encode` was given. `path`: what errors call it.

    Raises:
        ModelFileError: they are damaged, or of another kind of file.
    """
    try:
        about = _about(data)
        tensors = load(data)
        # Files of before there were checksums hold the description alone.
        if not about.keys() & PARTS:
            return about, tensors
        if about.keys() != PARTS or _crc32(about["about"], tensors) != about["crc32"]:
            raise ValueError("its checksum is another")
    # A header that is not one leads to any of these.
    except (
        SafetensorError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
        MemoryError,
    ) as e:
        reason = "".join(c if c.isprintable() else " " for c in str(e))[:REASON] or type(e).__name__
        raise ModelFileError(f"{path}: not a vaepipe model file, or damaged ({reason})") from None
    return about["about"], tensors


def _about(data: bytes) -> dict[str, Any]:
    """The description, from the header: its length in 8 bytes, and JSON (safetensors' own format)."""
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise ValueError("its header is cut off")
    text = json.loads(data[8 : 8 + length])["__metadata__"][KEY]
    if len(text) > MOST_ABOUT:
        raise ValueError(f"a description of {len(text):,} bytes")
    about = json.loads(text)
    if not isinstance(about, dict):
        raise ValueError("its description is none")
    return about


def _crc32(about: dict[str, Any], tensors: dict[str, Tensor]) -> int:
    found = zlib.crc32(json.dumps(about).encode())
    for name, tensor in sorted(tensors.items()):
        found = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), found)
        found = zlib.crc32(tensor.detach().cpu().contiguous().reshape(-1).view(uint8).numpy().data, found)
    return found
