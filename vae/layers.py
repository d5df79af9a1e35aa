"""Layers of C models at once: every weight has a leading axis of models.

Each is one function with its derivative beside it, written out: fewer and larger operators than torch's own
derivatives take, which is what a small model's step waits for, on a CPU and on a GPU.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vae import precision
from vae.precision import factor
from vae.products import affine, each


class StackedLinear(nn.Module):
    """C affine maps y = x W + b. W is (C, in, out): then its gradient needs no copy."""

    def __init__(self, models: int, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(models, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(models, outputs)) if bias else None

    def forward(self, x_CBI: Tensor) -> Tensor:
        """(C, B, in) to (C, B, out), float32."""
        y_CBO: Tensor = _Affine.apply(x_CBI, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return y_CBO


class StackedConv(nn.Module):
    """C convolutions of (C, B, I, H, W), zeros around them: a loop over the models."""

    def __init__(self, models: int, inputs: int, outputs: int, *, side: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.padding = stride, (side - stride + 1) // 2
        self.weight = nn.Parameter(torch.zeros(models, outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.zeros(models, outputs))

    def forward(self, x_CBIHW: Tensor) -> Tensor:
        """(C, B, in, H, W) to (C, B, out, H', W'), H' = H / stride."""
        y: Tensor = _Convolution.apply(  # type: ignore[no-untyped-call]
            x_CBIHW, self.weight, self.bias, self.stride, self.padding
        )
        return y


class StackedTable(nn.Module):
    """A row of numbers for each label: what a one-hot input would add, without the zeros."""

    def __init__(self, models: int, labels: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(models, labels, outputs))

    def forward(self, labels_CB: Tensor) -> Tensor:
        """Labels, (C, B) int64, to their rows, (C, B, out)."""
        rows_CBO: Tensor = _Rows.apply(self.weight, labels_CB)  # type: ignore[no-untyped-call]
        return rows_CBO


class _Affine(torch.autograd.Function):
    """y = x W + b: dx = dy Wᵀ, dW = xᵀ dy, db = Σ dy."""

    @staticmethod
    def forward(ctx: Any, x_CBI: Tensor, w_CIO: Tensor, b_CO: Tensor | None) -> Tensor:
        ctx.kind = precision.factors()
        x_CBI, w_CIO = factor(x_CBI, ctx.kind), factor(w_CIO, ctx.kind)
        ctx.save_for_backward(x_CBI, w_CIO)
        return affine(x_CBI, w_CIO, b_CO)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_CBO: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x_CBI, w_CIO = ctx.saved_tensors
        needs_x, needs_w, needs_b = ctx.needs_input_grad
        g_CBO = factor(dy_CBO, ctx.kind)
        return (
            affine(g_CBO, w_CIO.mT) if needs_x else None,
            affine(x_CBI.mT, g_CBO) if needs_w else None,
            dy_CBO.sum(1) if needs_b else None,
        )


class _Convolution(torch.autograd.Function):
    """A convolution of each model, and its derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int) -> Tensor:
        ctx.kind, ctx.channels_last = precision.factors(), _channels_last(x)
        ctx.places = ((stride, stride), (padding, padding), (1, 1), False, (0, 0), 1)
        x, w = (_laid(factor(tensor, ctx.kind), ctx.channels_last) for tensor in (x, w))
        ctx.save_for_backward(x, w)
        on_cpu = x.device.type == "cpu"
        # On a GPU of all models at once: cuDNN would add it in a pass of its own for each.
        biases = b.to(x.dtype) if on_cpu else (None,) * len(x)
        each_y = [torch.convolution(*of, *ctx.places) for of in zip(x, w, biases, strict=True)]
        y = _stacked(each_y, ctx.channels_last).to(b.dtype)
        return y if on_cpu else y.add_(b[:, None, :, None, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        needs_x, needs_w, needs_b, *_ = ctx.needs_input_grad
        each_of = zip(_laid(factor(dy, ctx.kind), ctx.channels_last), *ctx.saved_tensors, strict=True)
        derivatives = torch.ops.aten.convolution_backward
        found = [derivatives(*of, None, *ctx.places, (needs_x, needs_w, False)) for of in each_of]
        each_dx, each_dw, _ = zip(*found, strict=True)
        return (
            _stacked(each_dx, ctx.channels_last).to(dy.dtype) if needs_x else None,
            _stacked(each_dw, False).to(dy.dtype) if needs_w else None,
            dy.sum((1, 3, 4)) if needs_b else None,
            None,
            None,
        )


class _Rows(torch.autograd.Function):
    """Rows of a table. The derivative is a product: adding rows up one by one has no order on a GPU."""

    @staticmethod
    def forward(ctx: Any, w_CLO: Tensor, labels_CB: Tensor) -> Tensor:
        ctx.save_for_backward(labels_CB)
        ctx.labels = w_CLO.shape[1]
        return each(lambda w, y: w.index_select(0, y), w_CLO, labels_CB)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy_CBO: Tensor) -> tuple[Tensor, None]:
        (labels_CB,) = ctx.saved_tensors
        places_L = torch.arange(ctx.labels, device=labels_CB.device)
        one_hot_CLB = (places_L[:, None] == labels_CB.unsqueeze(1)).to(dy_CBO.dtype)
        return affine(one_hot_CLB, dy_CBO), None


def _channels_last(x: Tensor) -> bool:
    """Whether convolutions are faster with channels next to each other."""
    return x.device.type == "cpu" or (x.device.type == "cuda" and not precision.is_exact())


def _laid(x: Tensor, channels_last: bool) -> Tensor:
    """Pictures of a stack, (C, B, channels, H, W), in memory as convolutions take them; all in one copy."""
    return x.movedim(2, 4).contiguous().movedim(4, 2) if channels_last else x.contiguous()


def _stacked(each_x: Sequence[Tensor], channels_last: bool) -> Tensor:
    """Each model's pictures, (B, channels, H, W), in one tensor, laid as they are; one model's not copied."""
    if len(each_x) == 1:
        return each_x[0].unsqueeze(0)
    if not channels_last:
        return torch.stack(list(each_x))
    return torch.stack([x.movedim(1, 3) for x in each_x]).movedim(4, 2)
