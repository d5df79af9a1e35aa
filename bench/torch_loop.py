"""The textbook's model in the loop of somebody who knows what costs time in torch.

Images stay in memory as bytes and are taken by a permutation, without a DataLoader; Adam is one kernel; no
step waits for its cost to be read. By `torch.compile` besides, if that is asked for.
"""

import time

import torch
from torch import Tensor

from bench.training import Task, Trained, textbook_model
from vae.accept import textbook

WARM_UP = 3  # steps


def fit(task: Task, *, compiled: bool) -> Trained:
    """Train one channel."""
    device, batch_size = torch.device(task.device), task.batch_size
    images = task.images.to(device)
    make = textbook.compiled_stepper if compiled else textbook.stepper
    step = make(textbook_model(task).to(device))
    start = _compile(step, images, batch_size) if compiled else 0.0
    seconds = []
    for _ in range(task.epochs):
        started = time.perf_counter()
        costs = []
        for chosen in torch.randperm(len(images), device=device).split(batch_size):
            if len(chosen) == batch_size:
                # A copy: a compiled step's cost may lie where the next one's will.
                costs.append(step(images[chosen].float() / 255).detach().clone())
        cost = torch.stack(costs).mean().item()
        seconds.append(time.perf_counter() - started)
    return Trained(seconds, cost, start)


def _compile(step: textbook.Step, images: Tensor, batch_size: int) -> float:
    """Seconds of the first steps, in which everything is compiled.

    That is the model and its derivatives, and Adam twice, as its moments are not there in the first step. The
    model keeps what these steps have taught it, some tenths of a nat.
    """
    started = time.perf_counter()
    for _ in range(WARM_UP):
        step(images[:batch_size].float() / 255).item()
    return time.perf_counter() - started
