"""Figures: memory, and time beside the same model as a textbook would train it."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae import randomness
from vae.accept import textbook
from vae.accept.cases import Case, case
from vae.accept.findings import Findings
from vae.config import PAPER_MODEL, PAPER_TRAIN, Precision
from vae.evaluate import evaluate
from vae.stack import Stack, assemble
from vae.step import ALONE, Step

PRESETS = ("paper", "separate", "sharp", "joint", "conditional")
PRECISIONS: dict[str, tuple[Precision, ...]] = {"cuda": ("fp32", "tf32", "bf16"), "cpu": ("fp32",)}
EPOCHS = 3


def memory(found: Findings, device: torch.device, images: int) -> None:
    """What a training takes of the device at the size of the data."""
    for name in PRESETS:
        if device.type != "cuda":
            found.add(f"memory: {name}", None)
            continue
        tried = case(name, images, epochs=1)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        tried.trained(device)
        most = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
        found.add(f"memory: {name}", MiB=most[0] >> 20, reserved_MiB=most[1] >> 20)


def speed(found: Findings, device: torch.device, images: int) -> None:
    """Microseconds a step: of the device by itself, and of epochs, for which the host draws numbers."""
    for name in PRESETS:
        for precise in PRECISIONS.get(device.type, ("fp32",)):
            tried = case(name, images, epochs=EPOCHS, precision=precise)
            models = len(tried.states)
            found.add(f"speed: {name} x{models} {precise}", **_speeds(tried, device))
            if name == "paper":
                found.add(f"speed: {name} x1 {precise}", **_speeds(tried.first(1), device))
    tried = case("paper", images)
    model = assemble(tried.states, device)
    held_out = tried.images_CND[:, : images // 20].to(device)
    names = [state.component for state in tried.states]
    seconds = _median(lambda: evaluate(model, names, held_out, 0), device)
    found.add("speed: measuring held-out images", images=held_out.shape[1], ms=seconds * 1e3)


def _speeds(tried: Case, device: torch.device) -> dict[str, Any]:
    config, components = tried.config, tuple(state.component for state in tried.states)
    images = tried.images_CND.shape[1]
    steps = images // config.batch_size
    seconds, mark = [], time.perf_counter()
    for _ in tried.fit(device):
        seconds.append(time.perf_counter() - mark)
        mark = time.perf_counter()
    labels = None if tried.labels_N is None else tried.labels_N.to(device)
    step = Step(Stack(tried.states, device), tried.images_CND.to(device), labels, config, ALONE)
    numbers = randomness.draw_epoch(config, components, 1, images, step.stack.latent)
    alone = _median(lambda: step.run(1, numbers), device)
    started = time.process_time()
    randomness.draw_epoch(config, components, 2, images, step.stack.latent)
    drawn = time.process_time() - started
    epoch = min(seconds[1:])
    return {
        "us_step": alone / steps * 1e6,
        "us_step_of_epochs": epoch / steps * 1e6,
        "us_drawn": drawn / steps * 1e6,
        "first_epoch_s": seconds[0],
        "fifty_epochs_s": seconds[0] + 49 * epoch,
    }


def peers(found: Findings, device: torch.device, images: int, *, compiled: bool) -> None:
    """The paper's model, one channel, as others would train it: microseconds a step."""
    drawn = torch.randint(256, (images, 1024), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    steps = images // PAPER_TRAIN.batch_size
    epochs, _ = textbook.fit(drawn, textbook.VAE(1024, PAPER_MODEL), 2, PAPER_TRAIN.batch_size, str(device))
    found.add("peer: textbook, DataLoader, .item()", us_step=min(epochs) / steps * 1e6)
    x = (drawn.float() / 255).to(device)
    ways = {"fused Adam": textbook.stepper}
    if compiled:
        ways["torch.compile"] = textbook.compiled_stepper
    before = torch.get_float32_matmul_precision()
    for precise in ("highest", "high") if device.type == "cuda" else ("highest",):
        torch.set_float32_matmul_precision(precise)
        for name, stepper in ways.items():
            started = time.perf_counter()
            step = stepper(textbook.VAE(1024, PAPER_MODEL).to(device))
            _epoch(step, x[: 10 * PAPER_TRAIN.batch_size])
            start = time.perf_counter() - started
            seconds = _median(lambda step=step: _epoch(step, x), device)  # type: ignore[misc]
            found.add(
                f"peer: images on the device, {name}, {precise}", us_step=seconds / steps * 1e6, start_s=start
            )
    torch.set_float32_matmul_precision(before)


def _epoch(step: Callable[[Tensor], object], x_ND: Tensor) -> None:
    for chosen in torch.randperm(len(x_ND), device=x_ND.device).split(PAPER_TRAIN.batch_size):
        if len(chosen) == PAPER_TRAIN.batch_size:
            step(x_ND[chosen])


def _median(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the work and of what it made the device do, the median of three after one more."""
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])
