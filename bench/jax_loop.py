"""The paper's model in JAX: an epoch of steps is one compiled scan, and Adam is written by hand.

Images stay bytes, in the order in which they are; a step takes its batch from them. It starts from the
engine's first weights and takes an epoch's order and noise as the engine draws them, ahead of the epoch.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.training import Task, Trained
from vae import randomness
from vae.config import PAPER_TRAIN

Weights = dict[str, Any]  # by the engine's names, arrays of JAX or numpy


def fit(task: Task) -> Trained:
    """Train one channel."""
    config = replace(PAPER_TRAIN, batch_size=task.batch_size)
    numbers = [
        randomness.draw_epoch(config, (task.component,), epoch + 1, len(task.images), task.config.latent)
        for epoch in range(task.epochs)
    ]
    weights = {name: weight.numpy() for name, weight in task.weights.items()}
    _, trained = train(task.images.numpy(), weights, numbers, config.learning_rate)
    return trained


def train(
    images: np.ndarray, weights: Weights, numbers: Sequence[randomness.EpochDraw], rate: float
) -> tuple[Weights, Trained]:
    """Train on epochs' numbers, each of one model; the weights then. images: (N, D) uint8."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    from jax import numpy as jnp

    pixels = jnp.asarray(images)
    drawn = [
        (
            jnp.asarray(draw.order_SCB[:, 0].numpy(), jnp.int32),
            jnp.asarray(draw.noise_SCBLK[:, 0, :, 0].numpy()),
        )
        for draw in numbers
    ]
    # Three copies, since an epoch is given the memory of what it starts from.
    parameters, first, second = (
        {name: jnp.asarray(weight * factor) for name, weight in weights.items()} for factor in (1, 0, 0)
    )
    carried = (parameters, first, second, jnp.float32(0))
    started = time.perf_counter()
    epoch = jax.jit(epoch_of(rate), donate_argnums=1).lower(pixels, carried, *drawn[0]).compile()
    start, seconds = time.perf_counter() - started, []
    for order, noise in drawn:
        started = time.perf_counter()
        carried, costs = epoch(pixels, carried, order, noise)
        cost = float(costs.mean())
        seconds.append(time.perf_counter() - started)
    return carried[0], Trained(seconds, cost, start)


def epoch_of(rate: float) -> Callable[..., Any]:
    """An epoch as one function of JAX: pixels (N, D), what is carried, order (S, B) and noise (S, B, K).

    Carried are the weights, Adam's two moments of each, and the number of steps; returned as well, with the
    cost of each step (S,).
    """
    import jax
    from jax import lax
    from jax import numpy as jnp

    def cost(p: Weights, x: Any, noise: Any) -> Any:
        def through(h: Any, part: str) -> Any:
            layers = sum(name.startswith(f"{part}.layers.") for name in p) // 2
            for layer in range(layers):
                name = f"{part}.layers.{layer}"
                h = jax.nn.softplus(h @ p[f"{name}.weight"] + p[f"{name}.bias"])
            return h

        h = through(x, "encoder")
        mu, logvar = h @ p["mu.weight"] + p["mu.bias"], h @ p["logvar.weight"]
        h = through(mu + jnp.exp(0.5 * logvar) * noise, "decoder")
        logits = h @ p["decoder.output.weight"] + p["decoder.output.bias"]
        reconstruction = (jax.nn.softplus(logits) - logits * x).sum(1)
        return (reconstruction - 0.5 * (1 + logvar - mu**2 - jnp.exp(logvar)).sum(1)).mean()

    def run(pixels: Any, carried: Any, order: Any, noise: Any) -> Any:
        def step(carried: Any, numbers: Any) -> Any:
            parameters, first, second, count = carried
            chosen, noise = numbers
            x = jnp.take(pixels, chosen, axis=0).astype(jnp.float32) / 255
            value, gradients = jax.value_and_grad(cost)(parameters, x, noise)
            count = count + 1
            first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
            second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)

            def stepped(p: Any, m: Any, v: Any) -> Any:
                return p - rate * (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8)

            return (jax.tree.map(stepped, parameters, first, second), first, second, count), value

        return lax.scan(step, carried, (order, noise))

    return run
