"""Reconstructions: components rebuilt, merged to RGB images, and held against the originals.

`rebuild_and_score` is the paper's section 3.3, for models and for any other way to rebuild an image.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from pipeline.evaluation import metrics
from vae.evaluate import BATCH, evaluate, reconstruct
from vae.images import merge_components, to_bytes
from vae.model import VAE

# The components' rows of some images, (B, D) each, brightness in [0, 1], on the host.
Rebuild = Callable[[slice], Sequence[Tensor]]


AT_ONCE = 20  # images that are compared at a time: SSIM makes some thirty of one, and a cache holds so many

# Measures of pictures, by their names in the registry: functions of images and of what they should be, both
# brightness in [0, 1], (B, 3, H, W), that give a number for each image, (B,). MSE a pixel; PSNR in dB; SSIM
# with a Gaussian window of 11 (Wang et al. 2004).
QUALITIES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": lambda images, expected: (images - expected).square().mean((1, 2, 3)),
    "psnr": partial(peak_signal_noise_ratio, data_range=1.0, dim=(1, 2, 3), reduction="none"),
    "ssim": partial(structural_similarity_index_measure, data_range=1.0, reduction="none"),
}


class ImageQuality:
    """`QUALITIES` of images against others, added up in blocks; means over images."""

    def __init__(self) -> None:
        self.count, self.sums = 0, torch.zeros(len(QUALITIES), dtype=torch.float64)

    def add(self, images: Tensor, expected: Tensor) -> None:
        """Count a block in. Both are brightness in [0, 1], (B, 3, H, W)."""
        for some, of_expected in zip(images.split(AT_ONCE), expected.split(AT_ONCE), strict=True):
            values = [quality(some, of_expected) for quality in QUALITIES.values()]
            self.sums += torch.stack([of_images.double().sum() for of_images in values])
        self.count += len(images)

    def means(self, prefix: str = "") -> dict[str, float]:
        """The means so far, by name; without infinite ones, as PSNR is of an image without error."""
        names = (f"{prefix}{name}" for name in QUALITIES)
        means = zip(names, (self.sums / self.count).tolist(), strict=True)
        return {name: mean for name, mean in means if math.isfinite(mean)}


def rebuild_and_score(
    images: Sequence[Tensor], side: tuple[int, int], rebuild: Rebuild, quality: ImageQuality
) -> Iterator[tuple[slice, Tensor]]:
    """Rebuild images block by block; yield which they are and what came out, (B, 3, H, W) in [0, 1].

    images: of each component (N, D) uint8. `quality` counts blocks before they are rounded to bytes.
    """
    count = len(images[0])
    for start in range(0, count, BATCH):
        rows = slice(start, min(start + BATCH, count))
        rebuilt = merge_components(rebuild(rows), side)
        quality.add(rebuilt, merge_components([pixels[rows] / 255 for pixels in images], side))
        yield rows, rebuilt


def measure_stack(
    model: VAE,
    components: Sequence[str],
    images_CND: Tensor,
    side: tuple[int, int],
    labels_N: Tensor | None,
    seed: int,
) -> tuple[dict[str, dict[str, float]], dict[str, float], np.ndarray]:
    """Metrics of each model of a stack, and of the RGB images that they rebuild together; and those images.

    images_CND: uint8, on the host; labels_N: int64, where the model is told them; the images returned are
    (N, 3, H, W) uint8. The model's device computes.
    """
    device = next(model.parameters()).device
    on_device, told = images_CND.to(device), None if labels_N is None else labels_N.to(device)
    evaluations = evaluate(model, components, on_device, seed, told)
    of_components = {
        component: metrics.costs(model, evaluation, images_ND)
        | {"mse": evaluation.mse, "active_units": evaluation.active_units}
        for component, evaluation, images_ND in zip(components, evaluations, images_CND, strict=True)
    }

    def rebuild(rows: slice) -> Sequence[Tensor]:
        return list(reconstruct(model, on_device[:, rows], None if told is None else told[rows]))

    quality = ImageQuality()
    rebuilt = [to_bytes(block) for _, block in rebuild_and_score(list(images_CND), side, rebuild, quality)]
    return of_components, merge_metrics(of_components) | quality.means(), np.concatenate(rebuilt)


def merge_metrics(of_components: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Metrics of RGB images by those of their components; of a single component they are its own."""
    values = list(of_components.values())
    return dict(values[0]) if len(values) == 1 else metrics.sum_components(values)
