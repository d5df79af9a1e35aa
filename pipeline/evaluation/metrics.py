"""The measures of metrics/test.json: of each component's model, of merged pictures, of samples on demand; and
the few of them in metrics/summary.json."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from pipeline.common import files
from vae import baseline, classifier
from vae.baseline import PCA
from vae.evaluate import Evaluation, bound
from vae.metrics import EpochMetrics
from vae.model import VAE

BOUND_IMAGES = 1000  # test images, evenly spaced, of the importance-weighted bound
# Measures of which a picture's is the sum of its components'.
SUMMED = ("cost", "reconstruction", "kl", "floor", "excess", "iw_cost", "iw_gain", "linear_cost")
COUNTED = ("active_units", "parameters")
# Of which it is their mean: images of different sizes can be compared by them.
AVERAGED = ("bits_per_dim", "cost_per_pixel", "excess_per_pixel")

# By which experiments are compared, as far as there are any: of merged test pictures, and so few that
# `dvc exp show` has room for them.
HEADLINE = ("cost", "excess", "bits_per_dim", "active_units", "mse", "psnr", "ssim", "sample_accuracy")


def component_metrics(
    name: str,
    model: VAE,
    found: Evaluation,
    images_ND: Tensor,
    labels_N: Tensor | None,
    linear: PCA,
    seed: int,
) -> dict[str, float]:
    """Of one model: what `evaluate` found, its bounds, and a linear model's cost. Nats are an image."""
    chosen = evenly_spaced(len(images_ND), BOUND_IMAGES)
    bounds = bound(model, name, images_ND[chosen], seed, None if labels_N is None else labels_N[chosen])
    values = costs(model, found, images_ND)
    for whole in ("cost", "excess"):
        if whole in values:
            values[f"{whole}_per_pixel"] = values[whole] / images_ND.shape[1]
    values |= {"iw_cost": bounds.weighted, "iw_gain": bounds.gain}
    match model.config.likelihood:
        case "bernoulli":
            values["linear_cost"] = values["floor"] + baseline.linear_excess(linear, images_ND)
        case "gaussian":
            values["linear_cost"] = baseline.linear_cost(linear, images_ND)
    return values | {
        "active_units": found.active_units,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "mse": found.mse,
        "pca_mse": baseline.reconstruction_error(linear, images_ND),
    }


def costs(model: VAE, found: Evaluation, images_ND: Tensor) -> dict[str, float]:
    """What `evaluate` found of one model: the cost, its parts, and its excess or its bits per dimension."""
    values: dict[str, float] = {"cost": found.cost, "reconstruction": found.reconstruction, "kl": found.kl}
    if model.likelihood.density:
        values["bits_per_dim"] = found.cost / (images_ND.shape[1] * np.log(2)) + 8
    else:
        values["floor"] = baseline.entropy_floor(images_ND)
        values["excess"] = found.cost - values["floor"]
    return values


def sum_components(components: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of RGB pictures whose channels have models of their own."""
    sums = {
        name: sum(values[name] for values in components)
        for name in (*SUMMED, *COUNTED)
        if all(name in values for values in components)
    }
    for name in AVERAGED:
        if all(name in values for values in components):
            sums[name] = sum(values[name] for values in components) / len(components)
    return sums


class ImageQuality:
    """How near pictures come to others, added up in blocks; means over pictures."""

    def __init__(self) -> None:
        self.count, self.sums = 0, torch.zeros(3, dtype=torch.float64)

    def add(self, found: Tensor, expected: Tensor) -> None:
        """Brightness in [0, 1], (B, 3, H, W)."""
        each = [
            (found - expected).square().mean((1, 2, 3)),
            peak_signal_noise_ratio(found, expected, data_range=1.0, dim=(1, 2, 3), reduction="none"),
            structural_similarity_index_measure(found, expected, data_range=1.0, reduction="none"),
        ]
        self.count += len(found)
        self.sums += torch.stack([values.double().sum() for values in each])

    def means(self, prefix: str = "") -> dict[str, float]:
        """MSE a pixel, PSNR in dB, SSIM (Wang et al. 2004, Gaussian window of 11)."""
        names = (f"{prefix}{name}" for name in ("mse", "psnr", "ssim"))
        return dict(zip(names, (self.sums / self.count).tolist(), strict=True))


def conditional_metrics(
    judge: classifier.Classifier,
    samples: Tensor,
    asked: Tensor,
    crops: Tensor,
    labels: Tensor,
) -> dict[str, float]:
    """Whether samples show what they were asked to show, and whether they differ from each other.

    The second beside the first, since the mean picture of each label would be read right every time. samples:
    brightness, asked: (S,) int64; crops: uint8, labels: (N,) int64, real ones; pictures are (·, 3, H, W).
    """
    return {
        "classifier_accuracy": float((classifier.predict(judge, crops) == labels).double().mean()),
        "sample_accuracy": float((classifier.predict(judge, samples) == asked).double().mean()),
        "sample_deviation": _deviation(samples, asked) / _deviation(crops / 255, labels),
    }


def _deviation(pictures: Tensor, labels: Tensor) -> float:
    """Standard deviation of a pixel around its label's mean picture, over all pixels and labels."""
    of_labels = [pictures[labels == label] for label in labels.unique()]
    variances = [each.var(0).mean() for each in of_labels if len(each) > 1]
    return float(torch.stack(variances).mean().sqrt()) if variances else 0.0


def headline(merged: Mapping[str, float], history: Sequence[EpochMetrics]) -> dict[str, float]:
    """What metrics/summary.json holds: the headline of the test pictures, and the validation images' cost.

    Costs are nats an image, summed over components. merged: as metrics/test.json has it.
    """
    found = {name: merged[name] for name in HEADLINE if name in merged}
    last = max((record.epoch for record in history), default=0)
    costs = [record.cost for record in history if (record.epoch, record.split) == (last, "validation")]
    return found | ({"val_cost": files.round_significant(sum(costs))} if costs else {})


def evenly_spaced(count: int, wanted: int) -> np.ndarray:
    """At most so many indices, evenly spaced, ascending, none twice."""
    return np.unique(np.linspace(0, count - 1, wanted).round().astype(int))
