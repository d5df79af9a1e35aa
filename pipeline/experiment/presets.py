"""Tested sets of parameters, each for a purpose; docs/quality.md has what they reach."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.experiment import params
from vae.config import PAPER_MODEL, PAPER_TRAIN


@dataclass(frozen=True)
class Preset:
    """The model and how it is trained; all else in params.yaml stays as it is."""

    purpose: str
    measured: str  # on a slice of SVHN (docs/quality.md)
    model: Mapping[str, Any]
    train: Mapping[str, Any]

    def changes(self) -> params.Changes:
        return {"model": self.model, "train": self.train}


def _preset(purpose: str, measured: str, model: Mapping[str, Any], train: Mapping[str, Any]) -> Preset:
    """Make a preset of what it has other than the paper's; seed and precision are not its business."""
    paper: dict[str, Any] = {
        name: list(v) if isinstance(v, tuple) else v for name, v in asdict(PAPER_MODEL).items()
    }
    fitted = {name: v for name, v in asdict(PAPER_TRAIN).items() if name not in ("seed", "precision")}
    return Preset(purpose, measured, {**paper, **model}, {**fitted, **train})


# Found on validation images of a slice of SVHN (docs/quality.md).
USED = {"activation": "gelu", "centred": True, "shortcut": True, "calibrated": True}
ANNEALED = {"learning_rate": 0.002, "warmup": 300, "decay": "cosine", "kl_warmup": 900, "shift": 1}

PRESETS = {
    "paper": _preset(
        "comparing with the paper: exactly its models and training",
        "excess 101.3 nats, MSE 0.0102, 22 of 60 units active",
        {},
        {},
    ),
    "separate": _preset(
        "the lowest cost with a model for each channel: the paper's models, fitted well",
        "excess 87.8 nats, MSE 0.0062, 58 of 60 units active",
        USED,
        ANNEALED | {"samples": 3, "shift": 2},
    ),
    "sharp": _preset(
        "the sharpest reconstructions with a model for each channel",
        "6.082 bits per dimension, MSE 0.0037 where PCA has 0.0040, 60 of 60 units active",
        USED | {"likelihood": "gaussian", "architecture": "conv", "hidden": [24, 48]},
        ANNEALED | {"kl_warmup": 0, "shift": 2},
    ),
    "joint": _preset(
        "the lowest cost, and samples whose colours agree: one model of all three channels",
        "excess 64.4 nats, MSE 0.0038, 60 of 60 units active",
        USED | {"channels": "joint", "latent": 60},
        ANNEALED | {"shift": 2},
    ),
    "conditional": _preset(
        "drawing a digit that one asks for",
        "excess 68.9 nats, 79.6 % of samples read as the digit asked for",
        USED | {"channels": "joint", "latent": 10, "conditional": True},
        ANNEALED,
    ),
}


def find(name: str) -> Preset:
    """A preset by name.

    Raises:
        PipelineError: there is none of that name.
    """
    if name not in PRESETS:
        raise PipelineError(f"{name}: no such preset; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def shown(name: str) -> str:
    """A preset as YAML."""
    sections = {
        section: {key: params.in_a_line(value) for key, value in values.items()}
        for section, values in find(name).changes().items()
    }
    text = StringIO()
    YAML().dump(sections, text)
    return text.getvalue().rstrip()


def apply(name: str, path: Path = paths.PARAMS) -> list[str]:
    """Write a preset into a params.yaml; return what changed, such as `model.latent 20 -> 60`.

    Raises:
        PipelineError: there is no such preset, or the file is no valid params.yaml, or cannot be changed.
    """
    return params.change(path, find(name).changes())
