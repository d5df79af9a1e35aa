"""Metrics of trained models: costs and bounds of each component, added up for RGB images."""

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

import numpy as np
from torch import Tensor

from pipeline.evaluation.registry import BOUND_IMAGES, METRICS
from vae import baseline
from vae.baseline import PCA
from vae.evaluate import Evaluation, bound
from vae.metrics import EpochMetrics
from vae.model import VAE


def component_metrics(
    name: str,
    model: VAE,
    evaluation: Evaluation,
    images_ND: Tensor,
    labels_N: Tensor | None,
    linear: PCA,
    seed: int,
    advance: Callable[[int], None],
) -> dict[str, float]:
    """Metrics of one model: costs, bounds, and a linear model's cost. Nats are an image.

    advance: see `bound`, which takes nearly all of the time.
    """
    chosen = evenly_spaced(len(images_ND), BOUND_IMAGES)
    labels = None if labels_N is None else labels_N[chosen]
    bounds = bound(model, name, images_ND[chosen], seed, labels, advance=advance)
    values = costs(model, evaluation, images_ND)
    for whole in ("cost", "excess"):
        if whole in values:
            values[f"{whole}_per_pixel"] = values[whole] / images_ND.shape[1]
    values |= {"iw_cost": bounds.weighted, "iw_gain": bounds.gain}
    match model.config.likelihood:
        case "bernoulli":
            if (excess := baseline.linear_excess(linear, images_ND)) is not None:
                values["linear_cost"] = values["floor"] + excess
        case "gaussian":
            values["linear_cost"] = baseline.linear_cost(linear, images_ND)
        case "continuous_bernoulli":
            pass  # no linear model has a cost under it that can be written down
        case unknown:
            assert_never(unknown)
    return values | {
        "active_units": evaluation.active_units,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "mse": evaluation.mse,
        "pca_mse": baseline.reconstruction_error(linear, images_ND),
    }


def costs(model: VAE, evaluation: Evaluation, images_ND: Tensor) -> dict[str, float]:
    """The cost of one model as `evaluate` found it, its parts, and its excess or its bits per dimension."""
    values: dict[str, float] = {
        "cost": evaluation.cost,
        "reconstruction": evaluation.reconstruction,
        "kl": evaluation.kl,
    }
    if model.likelihood.density:
        values["bits_per_dim"] = evaluation.cost / (images_ND.shape[1] * np.log(2)) + 8
    else:
        values["floor"] = baseline.entropy_floor(images_ND)
        values["excess"] = evaluation.cost - values["floor"]
    return values


def sum_components(components: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Metrics of RGB images whose components have models of their own, as the registry adds them."""
    merged = {}
    for how in ("sum", "mean"):
        for name, metric in METRICS.items():
            if metric.merge == how and all(name in values for values in components):
                total = sum(values[name] for values in components)
                merged[name] = total if how == "sum" else total / len(components)
    return merged


def headline(merged: Mapping[str, float], history: Sequence[EpochMetrics]) -> dict[str, float]:
    """Values of metrics/summary.json: headline metrics of the test images, the cost of the validation images.

    Costs are nats an image, summed over components. merged: as metrics/test.json has it.
    """
    chosen = {name: merged[name] for name, metric in METRICS.items() if metric.headline and name in merged}
    last = max((record.epoch for record in history), default=0)
    costs = [record.cost for record in history if (record.epoch, record.split) == (last, "validation")]
    return chosen | ({"val_cost": sum(costs)} if costs else {})


def evenly_spaced(count: int, wanted: int) -> np.ndarray:
    """At most so many indices, evenly spaced, ascending, none twice."""
    return np.unique(np.linspace(0, count - 1, wanted).round().astype(int))
