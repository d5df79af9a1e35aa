"""How the learning rate and the weight of the KL go over the steps of a training."""

import math

from vae.config import TrainConfig


def epoch(config: TrainConfig, steps: int, number: int) -> tuple[list[float], list[float]]:
    """The learning rate and the KL's weight at each of an epoch's `steps`; `number` is from 1.

    Functions of the step alone, so a resumed run takes them up where it was.
    """
    first, total = (number - 1) * steps, config.epochs * steps
    rates = [_rate(config, step, total) for step in range(first, first + steps)]
    weights = [_rise(step, config.kl_warmup) for step in range(first, first + steps)]
    return rates, weights


def _rate(config: TrainConfig, step: int, total: int) -> float:
    rate = config.learning_rate * _rise(step, config.warmup)
    if config.decay == "cosine" and step >= config.warmup:
        done = (step - config.warmup) / max(1, total - config.warmup)
        rate *= 0.5 * (1 + math.cos(math.pi * done))
    return rate


def _rise(step: int, steps: int) -> float:
    """From near 0 at the first step to 1 after `steps`."""
    return min(1.0, (step + 1) / steps) if steps else 1.0
