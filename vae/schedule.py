"""Schedules of a training, by step: warm-up and decay of the learning rate, warm-up of the KL's weight."""

import math

from vae.config import Decay, TrainConfig


def epoch(config: TrainConfig, steps: int, number: int) -> tuple[list[float], list[float]]:
    """The learning rate and the KL's weight at each of an epoch's `steps`; `number` is from 1.

    Functions of the step alone, so a resumed run takes them up where it was.
    """
    first, total = (number - 1) * steps, config.epochs * steps
    rates = [
        learning_rate(step, total, config.learning_rate, config.warmup, config.decay)
        for step in range(first, first + steps)
    ]
    weights = [linear_warmup(step, config.kl_warmup) for step in range(first, first + steps)]
    return rates, weights


def learning_rate(step: int, total: int, highest: float, warmup: int, decay: Decay) -> float:
    """The rate at a step, from 0, of `total`: it rises over `warmup` steps, and then may fall to 0."""
    rate = highest * linear_warmup(step, warmup)
    if decay == "cosine" and step >= warmup:
        done = (step - warmup) / max(1, total - warmup)
        rate *= 0.5 * (1 + math.cos(math.pi * done))
    return rate


def linear_warmup(step: int, steps: int) -> float:
    """A factor that rises in a line from near 0 at the first step to 1 after `steps`.

    Of the KL's weight, and of the learning rate: the models' and the classifier's.
    """
    return min(1.0, (step + 1) / steps) if steps else 1.0
