"""Pictures of what models have learned, for the report: prior samples, traversals, labels on demand."""

from collections.abc import Mapping

import numpy as np
import torch

from pipeline.report.page import Conditional, Units
from vae import latents
from vae.evaluate import Evaluation
from vae.images import merge_components, to_bytes
from vae.model import VAE

SHOWN = 64  # samples
UNITS, STEPS = 10, 9  # of a model's traversals: at most so many units, at so many values
EACH, STYLES = 12, 12  # samples of a label, and draws of z that are shown with every label

CLASSES = 40  # of which samples are shown, at most, evenly spaced
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


def conditional(model: VAE, component: str, seed: int) -> Conditional:
    """Samples of each class, or of some where there are many, and a few draws of z with each of those."""
    names = model.sizes.class_names
    shown = torch.linspace(0, len(names) - 1, min(len(names), CLASSES)).round().long()
    count, asked = len(shown), shown.repeat_interleave(EACH)
    drawn = latents.decode(model, latents.sample_prior(model, component, len(asked), seed), asked)
    z = latents.sample_prior(model, component, STYLES, seed)
    styles = latents.decode(model, z.repeat_interleave(count, 0), shown.repeat(STYLES))
    return Conditional(
        classes=[names[label] for label in shown.tolist()],
        total=len(names),
        samples=to_bytes(drawn).reshape(count, EACH, *model.sizes.image),
        styles=to_bytes(styles).reshape(STYLES, count, *model.sizes.image),
    )
