"""One step of Adam (Kingma & Ba 2015), the same for models and for the classifier."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam


@torch.no_grad()
def adam_step(
    parameters: Sequence[Tensor],
    gradients: Sequence[Tensor],
    first_moments: Sequence[Tensor],
    second_moments: Sequence[Tensor],
    steps: Sequence[Tensor],
    learning_rate: Tensor | float,
) -> None:
    """Step the parameters in place along the gradients; moments and counts of steps go with them.

    All have an entry a parameter; `steps` are float tensors: the fused kernel counts on the device.
    """
    # The functional form of torch.optim.Adam: the class imports torch._dynamo, a second of start-up.
    adam(
        list(parameters),
        # The fused kernel goes through memory as it lies: a gradient in another order would be misread.
        [gradient.contiguous() for gradient in gradients],
        list(first_moments),
        list(second_moments),
        max_exp_avg_sqs=[],
        state_steps=list(steps),
        fused=True,
        amsgrad=False,
        beta1=0.9,
        beta2=0.999,
        lr=learning_rate,
        weight_decay=0.0,
        eps=1e-8,
        maximize=False,
    )
