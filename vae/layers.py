"""Layers of C models at once: every weight has a leading axis of models.

y = x W + b goes by the fastest matrix product that torch has on the device.
"""

import platform
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# On an x86 CPU torch multiplies float32 matrices by MKL, which leaves AVX-512 unused on processors that are
# not Intel's: oneDNN, which torch has too, is 2.1 times as fast there (docs/benchmarks.md). This operator is
# the only operator that exposes oneDNN to ordinary tensors; where torch lacks it, torch's own product serves.
_ONEDNN = (
    platform.machine() in ("x86_64", "AMD64")
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
# Of bfloat16 only on processors with AVX-512.
_ONEDNN_BF16 = _ONEDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class StackedLinear(nn.Module):
    """C affine maps y = x W + b. W is (C, in, out): then its gradient needs no copy.

    Under `torch.autocast` the factors are rounded to bfloat16; what comes out is of W's dtype in any case.
    """

    def __init__(self, models: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(models, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(models, outputs)) if bias else None

    def forward(self, x_CBI: Tensor) -> Tensor:
        onednn = _ONEDNN_BF16 if torch.is_autocast_enabled("cpu") else _ONEDNN
        if onednn and x_CBI.device.type == "cpu" and x_CBI.dtype == torch.float32:
            y_CBO: Tensor = _OneDNN.apply(x_CBI, self.weight, self.bias)  # type: ignore[no-untyped-call]
        elif self.bias is None:
            y_CBO = torch.bmm(x_CBI, self.weight)
        else:
            y_CBO = torch.baddbmm(self.bias.unsqueeze(1), x_CBI, self.weight)
        return y_CBO.to(self.weight.dtype)


class StackedConv(nn.Module):
    """C convolutions of (C, B, I, H, W), zeros around them: a loop, faster than groups on CPUs and GPUs."""

    def __init__(self, models: int, inputs: int, outputs: int, *, side: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.padding = stride, (side - stride + 1) // 2
        self.weight = nn.Parameter(torch.zeros(models, outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(models, outputs))

    def forward(self, x_CBIHW: Tensor) -> Tensor:
        # On a CPU a step is 1.3 times as fast with channels next to each other.
        kept = torch.channels_last if x_CBIHW.device.type == "cpu" else torch.contiguous_format

        def convolve(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
            x, w = x.contiguous(memory_format=kept), w.contiguous(memory_format=kept)
            return F.conv2d(x, w, b, self.stride, self.padding)

        return _each(convolve, x_CBIHW, self.weight, self.bias)


class StackedTable(nn.Module):
    """A row of numbers for each label: what a one-hot input would add, without the zeros."""

    def __init__(self, models: int, labels: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(models, labels, outputs))

    def forward(self, labels_CB: Tensor) -> Tensor:
        return _each(lambda w, y: w.index_select(0, y), self.weight, labels_CB)


class _OneDNN(torch.autograd.Function):
    """Affine maps by oneDNN on the CPU, a model at a time: each is bit for bit what it is alone."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)  # type: ignore[untyped-decorator]
    def forward(ctx: Any, x_CBI: Tensor, w_CIO: Tensor, b_CO: Tensor | None) -> Tensor:
        ctx.save_for_backward(x_CBI, w_CIO)
        biases = (None,) * len(x_CBI) if b_CO is None else b_CO
        return _each(lambda x, w, b: _product(x, w.t(), b), x_CBI, w_CIO, biases)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        (g_CBO,) = gradients
        x_CBI, w_CIO = ctx.saved_tensors
        needs_x, _, needs_b = ctx.needs_input_grad
        return (
            _each(_product, g_CBO, w_CIO) if needs_x else None,
            _each(lambda x, g: _product(x.t(), g.t()), x_CBI, g_CBO).float(),
            g_CBO.sum(1, dtype=torch.float32) if needs_b else None,
        )


def _product(a_MK: Tensor, b_NK: Tensor, bias_N: Tensor | None = None) -> Tensor:
    """a bᵀ + bias."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(a_MK, b_NK, bias_N, "none", [], "")
    return product


def _each(function: Callable[..., Tensor], *stacks: Any) -> Tensor:
    """The function of each model's tensors, stacked; of a single model without a copy."""
    results = [function(*tensors) for tensors in zip(*stacks, strict=True)]
    return results[0].unsqueeze(0) if len(results) == 1 else torch.stack(results)
