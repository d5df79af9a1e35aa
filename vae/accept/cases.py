"""Models and trainings to accept a device by: every preset, and one that is odd in every way."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vae.config import PAPER_MODEL, PAPER_TRAIN, Precision, Sizes, TrainConfig, numbered
from vae.fit import Epoch, fit
from vae.stack import TrainingState, initial_state

# What the presets of the pipeline hold, which may not be there: written out, and compared by a test. Only the
# warm-ups are shorter, since these trainings are.
_USED = {"activation": "gelu", "centred": True, "shortcut": True, "calibrated": True}
_ANNEALED = {"learning_rate": 0.002, "decay": "cosine", "shift": 1}
MODELS: dict[str, dict[str, Any]] = {
    "paper": {},
    "separate": _USED,
    "sharp": _USED | {"likelihood": "gaussian", "architecture": "conv", "hidden": (24, 48)},
    "joint": _USED | {"channels": "joint", "latent": 60},
    "conditional": _USED | {"channels": "joint", "latent": 10, "conditional": True},
    "odd": _USED
    | {"likelihood": "continuous_bernoulli", "architecture": "conv", "hidden": (8, 12)}
    | {"channels": "joint", "latent": 10, "conditional": True},
}
TRAININGS: dict[str, dict[str, Any]] = {
    "paper": {},
    "separate": _ANNEALED | {"samples": 3, "shift": 2},
    "sharp": _ANNEALED | {"shift": 2},
    "joint": _ANNEALED | {"shift": 2},
    "conditional": _ANNEALED,
    "odd": _ANNEALED | {"samples": 2},
}
WARM_UPS = {"warmup": 30, "kl_warmup": 40}


@dataclass(frozen=True)
class Case:
    """A training, ready to start: images that are noise made smooth, and models before their first step."""

    images_CND: Tensor  # uint8
    labels_N: Tensor | None
    states: list[TrainingState]
    config: TrainConfig

    def fit(self, device: torch.device | str, *, record: bool = True) -> Generator[Epoch]:
        yield from fit(
            self.images_CND, self.states, self.config, labels_N=self.labels_N, device=device, record=record
        )

    def trained(
        self, device: torch.device | str, *, record: bool = True
    ) -> tuple[list[TrainingState], list[float]]:
        """The last states, and every cost of every epoch."""
        costs: list[float] = []
        for epoch in self.fit(device, record=record):
            costs += [record.cost for record in epoch.records]
        return epoch.states(), costs

    def first(self, models: int) -> "Case":
        """The same with the first of its models alone."""
        return replace(self, images_CND=self.images_CND[:models], states=self.states[:models])


def case(
    name: str, images: int, *, epochs: int = 2, batch_size: int = 100, precision: Precision = "fp32"
) -> Case:
    """A case by name, on so many images; equal arguments give equal ones."""
    model = replace(PAPER_MODEL, **MODELS[name])
    warm_ups = WARM_UPS if TRAININGS[name] else {}
    config = replace(
        PAPER_TRAIN,
        **(TRAININGS[name] | warm_ups),
        epochs=epochs,
        batch_size=min(batch_size, images),
        precision=precision,
    )
    models = 1 if model.channels == "joint" else 3
    side = (25, 19) if name == "odd" else (32, 32)
    sizes = Sizes((3 // models, *side), numbered(10) if model.conditional else ())
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(models * images, sizes.image[0], 4, 4, generator=draw)
    smooth = F.interpolate(coarse, side, mode="bilinear")
    images_CND = (smooth * 255).to(torch.uint8).view(models, images, -1)
    labels_N = torch.randint(0, 10, (images,), generator=draw) if model.conditional else None
    states = [initial_state(f"m{c}", images_CND[c], sizes, model, seed=0) for c in range(models)]
    return Case(images_CND, labels_N, states, config)


def apart(a: Sequence[TrainingState], b: Sequence[TrainingState]) -> float:
    """The largest relative L2 distance of a tensor of the states, Adam's included; 0: equal to the bit."""
    worst = 0.0
    for mine, other in zip(a, b, strict=True):
        for group in ("weights", "first_moments", "second_moments"):
            for name, tensor in getattr(mine, group).items():
                wanted = getattr(other, group)[name]
                if not torch.equal(tensor, wanted):
                    distance = float((tensor - wanted).norm() / wanted.norm().clamp_min(1e-20))
                    # What is not a number is as far away as can be.
                    worst = max(worst, distance if distance == distance else float("inf"), 1e-30)
    return worst
