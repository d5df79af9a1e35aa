"""To how many bits the factors of products are rounded: of matrices, and in convolutions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from vae.config import Precision


@contextmanager
def rounded(precision: Precision, device: torch.device) -> Iterator[None]:
    """For the block: 24 bits (fp32), 11 (tf32, on CUDA alone) or 8 (bf16)."""
    with (
        _on_cuda("tf32" if precision == "tf32" else "ieee"),
        torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False),
    ):
        yield


@contextmanager
def exact() -> Iterator[None]:
    """For the block, or for a function that it decorates: 24 bits."""
    with _on_cuda("ieee"):
        yield


@contextmanager
def _on_cuda(precision: str) -> Iterator[None]:
    # torch's own choice is tf32 for convolutions, and for matrices what somebody else may have set.
    backends: Any = torch.backends  # not all of which torch has types for
    places = (backends.cuda.matmul, backends.cudnn.conv)
    before = [place.fp32_precision for place in places]
    try:
        for place in places:
            place.fp32_precision = precision
        yield
    finally:
        for place, was in zip(places, before, strict=True):
            place.fp32_precision = was
