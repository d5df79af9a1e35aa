"""Metrics of an epoch, as histories keep them. Free of torch: who only shows them need not load it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochMetrics:
    """One component's measures in one epoch on one split; nats an image, averaged over the split."""

    component: str
    epoch: int
    split: str  # "train" (averaged while the weights moved) or "validation" (after the epoch)
    cost: float
    reconstruction: float
    kl: float
