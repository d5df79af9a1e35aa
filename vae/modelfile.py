"""Models and checkpoints on disk (see `tensorfile`).

A model file holds one component's weights, W as (in, out) with y = x W + b, and in its metadata what it
takes to build the model. A checkpoint holds Adam's moments and the history as well.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae import tensorfile
from vae.config import ModelConfig, Sizes
from vae.metrics import EpochMetrics
from vae.model import MEAN, VAE
from vae.stack import TrainingState
from vae.tensorfile import ModelFileError


def save_model(path: Path, state: TrainingState) -> None:
    """Write one component's weights and shape. Equal states give equal bytes."""
    tensorfile.write(path, _describe(state), state.weights)


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write all that `fit` needs to go on. Equal states give equal bytes."""
    path.write_bytes(encode_checkpoint(state))


def encode_checkpoint(state: TrainingState) -> bytes:
    """The bytes that `save_checkpoint` writes."""
    about = _describe(state) | {"steps": state.steps, "history": [asdict(r) for r in state.history]}
    groups = {"weight": state.weights, "first": state.first_moments, "second": state.second_moments}
    tensors = {f"{group}/{name}": t for group, named in groups.items() for name, t in named.items()}
    return tensorfile.encode(about, tensors)


def load_model(path: Path) -> TrainingState:
    """A state without moments or history: enough to evaluate, not to go on.

    Raises:
        ModelFileError: the file is absent, damaged, or no model of this version; or weights are not finite.
    """
    about, tensors = tensorfile.read(path)
    return _state(path, about, tensors, {}, {})


def load_checkpoint(path: Path) -> TrainingState:
    """The state that `save_checkpoint` wrote, to the bit.

    Raises:
        ModelFileError: the file is absent, damaged, or no checkpoint of this version.
    """
    return _checkpoint(path, *tensorfile.read(path))


def decode_checkpoint(data: bytes, path: Path | str) -> TrainingState:
    """The state that `encode_checkpoint` was given; raises as `load_checkpoint`. `path`: what errors say."""
    return _checkpoint(path, *tensorfile.decode(data, path))


def _checkpoint(path: Path | str, about: dict[str, Any], tensors: dict[str, Tensor]) -> TrainingState:
    def group(prefix: str) -> dict[str, Tensor]:
        return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}

    state = _state(path, about, group("weight/"), group("first/"), group("second/"))
    moments = {name: tensor.shape for name, tensor in state.weights.items() if name != MEAN}
    for tensors in (state.first_moments, state.second_moments):
        _check_tensors(path, "moment", tensors, moments)
    try:
        state.steps = _whole(about["steps"])
        state.history = [_record(**record) for record in about["history"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: its description is not one of this version ({error})") from None
    return state


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no whole number")
    return value


def _record(
    component: str, epoch: int, split: str, cost: float, reconstruction: float, kl: float
) -> EpochMetrics:
    numbers = (cost, reconstruction, kl)
    if not (isinstance(component, str) and isinstance(split, str) and all(type(n) is float for n in numbers)):
        raise TypeError("a record of its history is none")
    return EpochMetrics(component, _whole(epoch), split, *numbers)


def _describe(state: TrainingState) -> dict[str, Any]:
    return {
        "component": state.component,
        "sizes": asdict(state.sizes),
        "epoch": state.epoch,
        "model": asdict(state.config),
    }


def _state(
    path: Path | str,
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
        state.epoch = _whole(about["epoch"])
        with torch.device("meta"):
            model = VAE(1, sizes, config)
        expected = {name: tensor.shape[1:] for name, tensor in model.weights().items()}
    # torch answers sizes that overflow with a RuntimeError.
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise ModelFileError(f"{path}: its description is not one of this version ({reason})") from None
    _check_tensors(path, "weight", weights, expected)
    return state


def _check_tensors(
    path: Path | str, what: str, tensors: dict[str, Tensor], expected: dict[str, torch.Size]
) -> None:
    """Raise unless they are finite float32 tensors of these shapes."""
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != expected:
        name = min(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        raise ModelFileError(
            f"{path}: {what} {name} should be {_shape(expected.get(name))}, not {_shape(found.get(name))}"
        )
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ModelFileError(f"{path}: {what} {name} should be float32, not {kind}")
        if not tensor.isfinite().all():
            raise ModelFileError(f"{path}: {what} {name} holds NaN or infinity")


def _shape(shape: torch.Size | None) -> str:
    return "absent" if shape is None else "x".join(map(str, shape))
