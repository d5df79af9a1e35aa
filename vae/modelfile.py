"""Models and checkpoints on disk: safetensors, so that reading one runs no code.

A model file holds one component's weights, W as (in, out) with y = x W + b, and in its metadata what it
takes to build the model. A checkpoint holds Adam's moments and the history as well.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vae.config import ModelConfig
from vae.model import VAE
from vae.record import Record
from vae.stack import State

# One key, because safetensors writes several in no fixed order, and equal models must be equal bytes.
KEY = "vaepipe"


class ModelFileError(ValueError):
    """A file that is no model or checkpoint of ours; the message names it."""


def save_model(path: Path, state: State) -> None:
    """Write one component's weights and shape. Equal states give equal bytes."""
    save_file(state.weights, path, {KEY: json.dumps(_describe(state))})


def save_checkpoint(path: Path, state: State) -> None:
    """Write all that `fit` needs to go on. Equal states give equal bytes."""
    about = _describe(state) | {"steps": state.steps, "history": [asdict(r) for r in state.history]}
    groups = {"weight": state.weights, "first": state.first_moments, "second": state.second_moments}
    tensors = {f"{group}/{name}": t for group, named in groups.items() for name, t in named.items()}
    save_file(tensors, path, {KEY: json.dumps(about)})


def load_model(path: Path) -> State:
    """A state without moments or history: enough to evaluate, not to go on."""
    about, tensors = _read(path)
    return _state(path, about, tensors, {}, {})


def load_checkpoint(path: Path) -> State:
    """The state that `save_checkpoint` wrote, to the bit."""
    about, tensors = _read(path)

    def group(prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    state = _state(path, about, group("weight/"), group("first/"), group("second/"))
    state.steps = about["steps"]
    state.history = [Record(**record) for record in about["history"]]
    return state


def _describe(state: State) -> dict[str, Any]:
    return {
        "component": state.component,
        "pixels": state.pixels,
        "epoch": state.epoch,
        "model": asdict(state.config),
    }


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[KEY])
            return about, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such model file") from None
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise ModelFileError(f"{path}: not a vaepipe model file, or damaged ({error})") from None


def _state(
    path: Path,
    about: dict[str, Any],
    weights: dict[str, Tensor],
    first: dict[str, Tensor],
    second: dict[str, Tensor],
) -> State:
    try:
        model = about["model"]
        config = ModelConfig(**{**model, "hidden": tuple(model["hidden"])})
        state = State(about["component"], about["pixels"], config, weights, first, second)
        state.epoch = about["epoch"]
        with torch.device("meta"):
            expected = {n: p.shape[1:] for n, p in VAE(1, state.pixels, config).named_parameters()}
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
