"""Pictures of what models have learned, for the report: prior samples, traversals, labels on demand."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.report.page import Conditional, Units
from vae import latents
from vae.evaluate import Evaluation
from vae.images import merge_components, to_bytes
from vae.model import VAE

SHOWN = 64  # samples
UNITS, STEPS = 10, 9  # of a model's traversals: at most so many units, at so many values
EACH, STYLES = 12, 12  # samples of a label, and draws of z that are shown with every label

Side = tuple[int, int]


def samples(models: Mapping[str, VAE], side: Side, seed: int) -> np.ndarray:
    """Decoded draws from the prior, (SHOWN, 3, H, W) uint8; each component draws z of its own."""
    drawn = {c: latents.decode(m, latents.sample_prior(m, c, SHOWN, seed)) for c, m in models.items()}
    return merge_components([to_bytes(x) for x in drawn.values()], side)


def units(model: VAE, found: Evaluation, side: Side) -> Units:
    """A model's latent units, and pictures along the most active. A conditional one is told label 0."""
    ranked = sorted(range(len(found.variance)), key=lambda unit: -found.variance[unit])
    shown = ranked[: min(UNITS, max(1, found.active_units))]
    pictures = to_bytes(latents.traverse(model, shown, STEPS, 0 if model.sizes.classes else None))
    channels, height, width = model.sizes.image
    shape = (len(shown), STEPS, *((channels,) if channels > 1 else ()), height, width)
    return Units(list(found.variance), shown, pictures.reshape(shape))


def drawn_on_demand(model: VAE, component: str, each: int, seed: int) -> tuple[Tensor, Tensor]:
    """Brightness (classes * each, 3, H, W) and the labels asked for (classes * each,), label by label."""
    asked = torch.arange(model.sizes.classes).repeat_interleave(each)
    z = latents.sample_prior(model, component, len(asked), seed)
    return latents.decode(model, z, asked).unflatten(1, model.sizes.image), asked


def conditional(model: VAE, component: str, classes: Sequence[str], seed: int) -> Conditional:
    """Samples of each label, and some draws of z with every label."""
    count = model.sizes.classes
    drawn, _ = drawn_on_demand(model, component, EACH, seed)
    z = latents.sample_prior(model, component, STYLES, seed)
    every = torch.arange(count).repeat(STYLES)
    styles = latents.decode(model, z.repeat_interleave(count, 0), every)
    return Conditional(
        classes=list(classes) or [str(label) for label in range(count)],
        samples=to_bytes(drawn).reshape(count, EACH, *model.sizes.image),
        styles=to_bytes(styles).reshape(STYLES, count, *model.sizes.image),
    )
