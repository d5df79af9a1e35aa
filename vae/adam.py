"""One step of Adam (Kingma & Ba 2015), the same for models and for the classifier."""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def adam_step(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    first_moments: Sequence[Tensor],
    second_moments: Sequence[Tensor],
    step: Tensor,
    learning_rate: Tensor,
) -> None:
    """Step the parameters in place along the gradients, and their moments with them.

    All have an entry a parameter. `step`, which is this one's number from 1, and the learning rate are
    float32, of no dimension, on the parameters' device.
    """
    # The kernel of torch.optim.Adam(fused=True): that class, and the function below it, count the steps of
    # each parameter in an operator of their own.
    torch._fused_adam_(
        list(parameters),
        # The kernel goes through memory as it lies: a gradient in another order would be misread.
        [gradient.contiguous() for gradient in gradients],
        list(first_moments),
        list(second_moments),
        [],
        [step] * len(parameters),
        lr=learning_rate,
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
        weight_decay=0.0,
        amsgrad=False,
        maximize=False,
    )
