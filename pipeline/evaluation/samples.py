"""Metrics of a conditional model's samples: do they show the label that was asked for, and do they differ?"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from vae import classifier, latents
from vae.model import VAE

# Samples of each class, fewer where there are many classes, and at least two, which can differ.
EACH, ALL, LEAST = 200, 20_000, 2
BLOCK = 2_000  # samples in memory at a time


def conditional_metrics(
    reader: classifier.Classifier, model: VAE, component: str, crops: Tensor, labels: Tensor, seed: int
) -> dict[str, float]:
    """`measure` of a model's samples, some classes at a time."""
    classes = model.sizes.classes
    each = max(LEAST, min(EACH, ALL // classes))
    z = latents.sample_prior(model, component, classes * each, seed)

    def drawn() -> Iterator[tuple[Tensor, int]]:
        for some in torch.arange(classes).split(max(1, BLOCK // each)):
            rows = slice(int(some[0]) * each, (int(some[-1]) + 1) * each)
            asked = some.repeat_interleave(each)
            samples = latents.decode(model, z[rows], asked).unflatten(1, model.sizes.image)
            yield from zip(samples.split(each), some.tolist(), strict=True)

    return measure(reader, drawn(), crops, labels)


def measure(
    reader: classifier.Classifier, samples: Iterable[tuple[Tensor, int]], crops: Tensor, labels: Tensor
) -> dict[str, float]:
    """Accuracy of a classifier on real images and on samples of each class; deviation of the samples.

    The deviation, since the mean picture of each class would be read right every time; it is left out where
    no two real images of a class differ. samples: of one class after another, brightness (n, 3, H, W), and
    the class that was asked for; crops: real images, (N, 3, H, W) uint8, and labels: theirs, (N,) int64.
    """
    right, count, variances = 0, 0, list[Tensor | None]()
    for of_class, asked in samples:
        right += int((classifier.predict(reader, of_class) == asked).sum())
        count += len(of_class)
        variances.append(_variance(of_class))
    of_real_images = _deviation([_variance(crops[labels == label] / 255) for label in labels.unique()])
    return {
        "classifier_accuracy": float((classifier.predict(reader, crops) == labels).double().mean()),
        "sample_accuracy": right / count,
    } | ({"sample_deviation": _deviation(variances) / of_real_images} if of_real_images else {})


def _variance(pictures: Tensor) -> Tensor | None:
    """Variance of a pixel around the mean picture, over all pixels; None of a single picture."""
    return pictures.var(0).mean() if len(pictures) > 1 else None


def _deviation(variances: list[Tensor | None]) -> float:
    """Standard deviation by the variances of classes; 0 where none has two pictures."""
    known = [variance for variance in variances if variance is not None]
    return float(torch.stack(known).mean().sqrt()) if known else 0.0
