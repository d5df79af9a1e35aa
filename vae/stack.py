"""States of single models, and how C of them become one stack and come apart again.

A state is what a checkpoint holds. It belongs to one component, never to a stack, so a run that was
stopped with three stacks of one goes on with one stack of three.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vae.config import ModelConfig
from vae.model import VAE, initial_weights


@dataclass(frozen=True)
class Record:
    """One component's measures in one epoch on one split; nats an image, averaged over the split."""

    component: str
    epoch: int
    split: str  # "train" (averaged while the weights moved) or "validation" (after the epoch)
    cost: float
    reconstruction: float
    kl: float


@dataclass
class State:
    """One model in the middle of its training. Tensors are on the host, without the stack's axis."""

    component: str
    pixels: int
    config: ModelConfig
    weights: dict[str, Tensor]
    first_moments: dict[str, Tensor]  # Adam's running mean of the gradient, by weight name
    second_moments: dict[str, Tensor]  # Adam's running mean of its square
    steps: int = 0  # optimiser steps so far
    epoch: int = 0  # epochs finished
    history: list[Record] = field(default_factory=list)


def initial_state(component: str, pixels: int, config: ModelConfig, seed: int) -> State:
    """A model before its first step."""
    weights = initial_weights(component, pixels, config, seed)
    zeros = {name: torch.zeros_like(w) for name, w in weights.items()}
    return State(component, pixels, config, weights, zeros, {k: v.clone() for k, v in zeros.items()})


def assemble(states: Sequence[State], device: torch.device) -> VAE:
    """One stack on the device that holds a copy of each state's weights. All must be of one shape."""
    first = states[0]
    for state in states:
        if (state.pixels, state.config) != (first.pixels, first.config):
            raise ValueError(f"{state.component} and {first.component} are of different shapes: no stack")
    model = VAE(len(states), first.pixels, first.config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            for c, state in enumerate(states):
                parameter[c].copy_(state.weights[name])
    return model.to(device)


def adam(model: VAE, states: Sequence[State], learning_rate: float) -> torch.optim.Adam:
    """The stack's optimiser, going on from the states' moments. It is elementwise: no model sees another."""
    optimizer = torch.optim.Adam(model.parameters(), learning_rate, fused=True)
    for name, parameter in model.named_parameters():
        optimizer.state[parameter] = {
            # Fused kernels read the step count on the parameter's device.
            "step": torch.tensor(float(states[0].steps), device=parameter.device),
            "exp_avg": torch.stack([s.first_moments[name] for s in states]).to(parameter.device),
            "exp_avg_sq": torch.stack([s.second_moments[name] for s in states]).to(parameter.device),
        }
    return optimizer


def take_apart(
    model: VAE, optimizer: torch.optim.Adam, states: Sequence[State], epoch: int, steps: int
) -> list[State]:
    """The stack's models as states of their own, copied to the host; histories come from `states`."""
    parameters = dict(model.named_parameters())

    def slices(tensors: dict[str, Tensor], c: int) -> dict[str, Tensor]:
        return {name: tensor[c].detach().to("cpu", copy=True) for name, tensor in tensors.items()}

    first = {n: optimizer.state[p]["exp_avg"] for n, p in parameters.items()}
    second = {n: optimizer.state[p]["exp_avg_sq"] for n, p in parameters.items()}
    return [
        State(
            component=state.component,
            pixels=state.pixels,
            config=state.config,
            weights=slices(dict(parameters), c),
            first_moments=slices(first, c),
            second_moments=slices(second, c),
            steps=steps,
            epoch=epoch,
            history=list(state.history),
        )
        for c, state in enumerate(states)
    ]
