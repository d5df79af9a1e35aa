"""To how many bits the factors of products are rounded: of matrices, and in convolutions.

Products of bfloat16 factors add up and come out in float32; of a convolution, what comes out is rounded too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from vae.config import Precision

_PRECISION: ContextVar[Precision] = ContextVar("precision", default="fp32")


@contextmanager
def rounded(precision: Precision) -> Iterator[None]:
    """For the block: 24 bits (fp32), 11 (tf32, on CUDA alone) or 8 (bf16)."""
    before = _PRECISION.set(precision)
    try:
        with _on_cuda("tf32" if precision == "tf32" else "ieee"):
            yield
    finally:
        _PRECISION.reset(before)


@contextmanager
def exact() -> Iterator[None]:
    """For the block, or for a function that it decorates: 24 bits."""
    with rounded("fp32"):
        yield


def factors() -> torch.dtype:
    """What the factors of a product of float32 tensors are rounded to in this block."""
    return torch.bfloat16 if _PRECISION.get() == "bf16" else torch.float32


def is_exact() -> bool:
    """Whether they keep all their bits."""
    return _PRECISION.get() == "fp32"


def factor(tensor: Tensor, kind: torch.dtype) -> Tensor:
    """A float32 tensor rounded to a kind of factors; others, such as a test's float64, as they are."""
    return tensor.to(kind) if tensor.dtype == torch.float32 else tensor


@contextmanager
def _on_cuda(precision: str) -> Iterator[None]:
    # torch's own choice is tf32 for convolutions, and for matrices what somebody else may have set. And
    # cuDNN may choose ways to add up that differ from run to run.
    backends: Any = torch.backends  # not all of which torch has types for
    places = (backends.cuda.matmul, backends.cudnn.conv)
    before = [place.fp32_precision for place in places]
    deterministic = backends.cudnn.deterministic
    try:
        for place in places:
            place.fp32_precision = precision
        backends.cudnn.deterministic = True
        yield
    finally:
        for place, was in zip(places, before, strict=True):
            place.fp32_precision = was
        backends.cudnn.deterministic = deterministic
