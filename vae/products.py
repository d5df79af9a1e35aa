"""Matrix products of a stack, a model at a time or all at once: whatever is fastest on the device."""

import platform
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# On an x86 CPU torch multiplies float32 matrices by MKL, which leaves AVX-512 unused on processors that are
# not Intel's; oneDNN, which torch has too, uses it (docs/benchmarks.md). This operator is the only one that
# exposes oneDNN to ordinary tensors; where torch lacks it, torch's own product serves.
_ONEDNN = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
# Of bfloat16 only on processors with AVX-512.
_ONEDNN_BF16 = _ONEDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def affine(x_CBI: Tensor, w_CIO: Tensor, b_CO: Tensor | None = None) -> Tensor:
    """x W + b of each model, (C, B, O): of float32 for factors of bfloat16, else of the factors' own dtype.

    On a CPU a model's result does not depend on the others of the stack, to the bit.
    """
    rounded = x_CBI.dtype == torch.bfloat16
    kind = torch.float32 if rounded else x_CBI.dtype
    if x_CBI.device.type == "cpu" and (
        (_ONEDNN and x_CBI.dtype == torch.float32) or (_ONEDNN_BF16 and rounded)
    ):
        biases = (None,) * len(x_CBI) if b_CO is None else b_CO.to(x_CBI.dtype)
        return each(onednn, x_CBI, w_CIO, biases).to(kind)
    if rounded and x_CBI.device.type == "cuda":
        if b_CO is None:
            return torch.bmm(x_CBI, w_CIO, out_dtype=kind)
        return torch.baddbmm(b_CO.unsqueeze(1), x_CBI, w_CIO, out_dtype=kind)
    if b_CO is None:
        return torch.bmm(x_CBI, w_CIO).to(kind)
    return torch.baddbmm(b_CO.unsqueeze(1).to(x_CBI.dtype), x_CBI, w_CIO).to(kind)


def onednn(a_MK: Tensor, b_KN: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """a b + bias of one model on the CPU."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a_MK, b_KN.t(), bias_N, "none", [], "")
    return product


def each(function: Callable[..., Tensor], *stacks: Any) -> Tensor:
    """The function of each model's tensors, stacked; of a single model without a copy."""
    results = [function(*tensors) for tensors in zip(*stacks, strict=True)]
    return results[0].unsqueeze(0) if len(results) == 1 else torch.stack(results)
