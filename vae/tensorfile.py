"""Tensors and a description of them in one file: safetensors, so that reading one runs no code."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

# One key, because safetensors writes several in no fixed order, and equal contents must be equal bytes.
KEY = "vaepipe"


class ModelFileError(ValueError):
    """A file that is none of ours, or not the one expected; the message names it."""


def write(path: Path, about: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Write a file. Equal contents give equal bytes."""
    # Not by `save_file`: what it writes none but its owner may read, whatever the umask.
    path.write_bytes(save(tensors, {KEY: json.dumps(about)}))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read tensors and what was said of them, as `write` got them, to the bit.

    Raises:
        ModelFileError: the file is not there, cannot be read, is damaged, or another kind.
    """
    try:
        path.open("rb").close()  # of a file that may not be read, `safe_open` says that it is not there
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[KEY])
            return about, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such model file") from None
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelFileError(f"{path}: not a vaepipe model file, or damaged ({error})") from None
