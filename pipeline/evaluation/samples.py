"""Metrics of a conditional model's samples: do they show the label that was asked for, and do they differ?"""

import torch
from torch import Tensor

from vae import classifier


def conditional_metrics(
    reader: classifier.Classifier,
    samples: Tensor,
    asked: Tensor,
    crops: Tensor,
    labels: Tensor,
) -> dict[str, float]:
    """Accuracy of a classifier on real images and on samples of each label; deviation of the samples.

    The deviation, since the mean picture of each label would be read right every time; it is left out where
    no two real images of a label differ. samples:
    brightness, asked: (S,) int64; crops: uint8, labels: (N,) int64, real ones; pictures are (·, 3, H, W).
    """
    of_real_images = _deviation(crops / 255, labels)
    return {
        "classifier_accuracy": float((classifier.predict(reader, crops) == labels).double().mean()),
        "sample_accuracy": float((classifier.predict(reader, samples) == asked).double().mean()),
    } | ({"sample_deviation": _deviation(samples, asked) / of_real_images} if of_real_images else {})


def _deviation(pictures: Tensor, labels: Tensor) -> float:
    """Standard deviation of a pixel around its label's mean picture, over all pixels and labels."""
    of_labels = [pictures[labels == label] for label in labels.unique()]
    variances = [images.var(0).mean() for images in of_labels if len(images) > 1]
    return float(torch.stack(variances).mean().sqrt()) if variances else 0.0
