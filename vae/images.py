"""Images of components merged to RGB (the paper's section 3.3), and brightness rounded to bytes.

Free of torch, as `vae.config` is: those who have arrays alone need not load it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")


def merge_components(rows: Sequence[Array], side: tuple[int, int]) -> Array:
    """RGB images, (N, 3, H, W), of the components' rows of pixels, (N, D) each, of any one dtype.

    Components come in the channels' order: red, green and blue with D = H * W, or one of all three.
    """
    images: Any = [pixels.reshape(len(pixels), -1, *side) for pixels in rows]
    if isinstance(images[0], np.ndarray):
        return cast(Any, np.concatenate(images, axis=1))
    import torch

    return cast(Any, torch.cat(images, dim=1))


def to_bytes(brightness: "np.ndarray | Tensor") -> np.ndarray:
    """Brightness in [0, 1], float32 on the host, as uint8 of the same shape: the nearest byte."""
    return (np.asarray(brightness) * np.float32(255)).round().astype(np.uint8)
