"""Models and checkpoints on disk (see `tensorfile`).

A model file holds one component's weights, W as (in, out) with y = x W + b, and in its metadata what it
takes to build the model. A checkpoint holds Adam's moments and the history as well.
"""

from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae import tensorfile
from vae.config import ModelConfig, Sizes
from vae.metrics import EpochMetrics
from vae.model import VAE
from vae.stack import TrainingState
from vae.tensorfile import ModelFileError


def save_model(path: Path, state: TrainingState) -> None:
    """Write one component's weights and shape. Equal states give equal bytes."""
    tensorfile.write(path, _describe(state), state.weights)


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write all that `fit` needs to go on. Equal states give equal bytes."""
    about = _describe(state) | {"steps": state.steps, "history": [asdict(r) for r in state.history]}
    groups = {"weight": state.weights, "first": state.first_moments, "second": state.second_moments}
    tensors = {f"{group}/{name}": t for group, named in groups.items() for name, t in named.items()}
    tensorfile.write(path, about, tensors)


def load_model(path: Path) -> TrainingState:
    """A state without moments or history: enough to evaluate, not to go on."""
    about, tensors = tensorfile.read(path)
    return _state(path, about, tensors, {}, {})


def load_checkpoint(path: Path) -> TrainingState:
    """The state that `save_checkpoint` wrote, to the bit."""
    about, tensors = tensorfile.read(path)

    def group(prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    state = _state(path, about, group("weight/"), group("first/"), group("second/"))
    state.steps = about["steps"]
    state.history = [EpochMetrics(**record) for record in about["history"]]
    return state


def _describe(state: TrainingState) -> dict[str, Any]:
    return {
        "component": state.component,
        "sizes": asdict(state.sizes),
        "epoch": state.epoch,
        "model": asdict(state.config),
    }


def _state(
    path: Path,
    about: dict[str, Any],
    weights: dict[str, Tensor],
    first: dict[str, Tensor],
    second: dict[str, Tensor],
) -> TrainingState:
    try:
        model = about["model"]
        config = ModelConfig(**{**model, "hidden": tuple(model["hidden"])})
        sizes = Sizes.described(about["sizes"])
        state = TrainingState(about["component"], sizes, config, weights, first, second)
        state.epoch = about["epoch"]
        with torch.device("meta"):
            model = VAE(1, sizes, config)
        named = chain(model.named_parameters(), model.named_buffers())
        expected = {name: tensor.shape[1:] for name, tensor in named}
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: its description is not one of this version ({error})") from None
    found = {name: tensor.shape for name, tensor in weights.items()}
    if found != expected:
        name = min(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise ModelFileError(
            f"{path}: weight {name} should be {_shape(expected.get(name))}, not {_shape(found.get(name))}"
        )
    return state


def _shape(shape: torch.Size | None) -> str:
    return "absent" if shape is None else "x".join(map(str, shape))
