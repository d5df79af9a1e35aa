"""Derivatives that are written out, against differences of the function, in float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vae.layers import StackedConv, StackedLinear, StackedTable
from vae.likelihood import Bernoulli
from vae.objective import Posterior

DRAW = torch.Generator().manual_seed(0)


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=DRAW, dtype=torch.float64).requires_grad_()


def of_layer(layer: Any, x: Tensor) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """The layer as a function of its parameters and of what goes in."""
    names = [name for name, _ in layer.named_parameters()]
    values = [numbers(*parameter.shape) for parameter in layer.parameters()]

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    return call, (x, *values)


LABELS = torch.randint(0, 4, (2, 3), generator=DRAW)
CASES: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
    "affine": of_layer(StackedLinear(2, 4, 3), numbers(2, 5, 4)),
    "affine without a bias": of_layer(StackedLinear(1, 4, 3, bias=False), numbers(1, 1, 4)),
    "convolution": of_layer(StackedConv(2, 3, 2, side=3), numbers(2, 2, 3, 4, 5)),
    "convolution that halves": of_layer(StackedConv(1, 2, 3, side=4, stride=2), numbers(1, 2, 2, 4, 6)),
    "table": of_layer(StackedTable(2, 4, 3), LABELS),
    "posterior": (Posterior.apply, (numbers(2, 3, 4), numbers(2, 3, 4), numbers(2, 3, 1, 4).detach())),
    "posterior of three samples": (
        Posterior.apply,
        (numbers(2, 3, 4), numbers(2, 3, 4), numbers(2, 3, 3, 4).detach()),
    ),
    "cross-entropy": (Bernoulli(2).nll, (numbers(2, 3, 4), numbers(2, 3, 4).detach().sigmoid())),
}


@pytest.mark.parametrize("name", CASES)
def test_a_derivative_is_its_function_s(name: str) -> None:
    function, given = CASES[name]
    assert torch.autograd.gradcheck(function, given)
