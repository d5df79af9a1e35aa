"""States of single models, and how C of them become one stack and come apart again.

A state is what a checkpoint holds. It belongs to one component, never to a stack, so a run that was
stopped with three stacks of one goes on with one stack of three.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vae.adam import adam_step
from vae.config import ModelConfig, Sizes
from vae.metrics import EpochMetrics
from vae.model import MEAN, VAE, initial_weights


@dataclass
class TrainingState:
    """One model in the middle of its training. Tensors are on the host, without the stack's axis."""

    component: str
    sizes: Sizes
    config: ModelConfig
    weights: dict[str, Tensor]  # and, of a centred model, the mean image
    first_moments: dict[str, Tensor]  # Adam's running mean of the gradient, by weight name
    second_moments: dict[str, Tensor]  # Adam's running mean of its square
    steps: int = 0  # optimiser steps so far
    epoch: int = 0  # epochs finished
    history: list[EpochMetrics] = field(default_factory=list)


def initial_state(
    component: str, images_ND: Tensor, sizes: Sizes, config: ModelConfig, seed: int
) -> TrainingState:
    """A model before its first step. images_ND: uint8, all the training images that it will see."""
    weights = initial_weights(component, images_ND, sizes, config, seed)
    first, second = ({n: torch.zeros_like(w) for n, w in weights.items() if n != MEAN} for _ in range(2))
    return TrainingState(component, sizes, config, weights, first, second)


class Stack:
    """C models on a device, with Adam's moments. Adam is elementwise: no model sees another."""

    def __init__(self, states: Sequence[TrainingState], device: torch.device) -> None:
        """Copies of the states, which must be of one shape and after the same step."""
        self._states = list(states)
        self.sizes, self.latent = states[0].sizes, states[0].config.latent
        self.model = assemble(states, device)
        self.parameters: list[Tensor] = list(self.model.parameters())
        self._first, self._second = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))
        _fill(self.model.by_name(self._first), [state.first_moments for state in states])
        _fill(self.model.by_name(self._second), [state.second_moments for state in states])
        self.steps = states[0].steps  # of Adam, that were made; `Step.run` counts on

    def step(self, gradients: Sequence[Tensor], step: Tensor, learning_rate: Tensor) -> None:
        """One step of Adam along the gradients, one a parameter (see `adam_step`)."""
        adam_step(self.parameters, gradients, self._first, self._second, step, learning_rate)

    def tensors(self) -> list[Tensor]:
        """Everything that `step` changes."""
        return [*self.parameters, *self._first, *self._second]

    def states(self, epoch: int, histories: Sequence[list[EpochMetrics]]) -> list[TrainingState]:
        """The models as states of their own, copied to the host."""

        def of(c: int, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
            named = self.model.by_name(tensors)
            return {name: tensor[c].detach().to("cpu", copy=True) for name, tensor in named.items()}

        return [
            replace(
                state,
                weights=state.weights | of(c, self.parameters),
                first_moments=of(c, self._first),
                second_moments=of(c, self._second),
                steps=self.steps,
                epoch=epoch,
                history=list(history),
            )
            for c, (state, history) in enumerate(zip(self._states, histories, strict=True))
        ]


def assemble(states: Sequence[TrainingState], device: torch.device) -> VAE:
    """One stack on the device that holds a copy of each state's weights. All must be of one shape."""
    first = states[0]
    for state in states:
        if (state.sizes, state.config) != (first.sizes, first.config):
            raise ValueError(f"{state.component} and {first.component} are of different shapes: no stack")
    # Of float32 on the host, whatever torch's defaults are.
    with torch.device("cpu"):
        model = VAE(len(states), first.sizes, first.config).float()
    _fill(model.weights(), [state.weights for state in states])
    return model.to(device)


@torch.no_grad()
def _fill(stacked: Mapping[str, Tensor], alone: Sequence[Mapping[str, Tensor]]) -> None:
    """Copy each model's tensors to its place in the stack's of the same names."""
    for name, tensor in stacked.items():
        for c, of_model in enumerate(alone):
            tensor[c].copy_(of_model[name])
