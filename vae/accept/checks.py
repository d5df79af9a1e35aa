"""Checks that hold or fail: the engine on this device beside the engine on the CPU, and beside itself."""

import gc
import math
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from vae import precision
from vae.accept.cases import MODELS, apart, case
from vae.accept.findings import Findings
from vae.config import Precision
from vae.fit import CostNotFinite
from vae.modelfile import load_checkpoint, save_checkpoint
from vae.products import affine

IMAGES = 600
NATS = 0.05  # between two devices
# Of a product, relative to float64: half a unit in the last of 24, 11 or 8 bits, and what adding up leaves.
ERRORS: dict[Precision, float] = {"fp32": 2e-6, "tf32": 2e-3, "bf16": 1e-2}


def machine(found: Findings, device: torch.device) -> None:
    """Note what the device is."""
    if device.type != "cuda":
        found.add("device", torch=torch.__version__, device=str(device), threads=torch.get_num_threads())
        return
    about = torch.cuda.get_device_properties(device)
    found.add(
        "device",
        torch=torch.__version__,
        cuda=torch.version.cuda,
        gpu=about.name,
        gib=round(about.total_memory / 2**30),
        gpus=torch.cuda.device_count(),
    )


def recorded_is_called(found: Findings, device: torch.device) -> None:
    """A recorded step makes the models that its operators make when they are called."""
    cases = {name: case(name, IMAGES) for name in MODELS}
    cases["an epoch of one step"] = case("paper", 100, batch_size=100)
    for name, tried in cases.items():
        recorded, costs = tried.trained(device)
        called, _ = tried.trained(device, record=False)
        worst = apart(recorded, called)
        holds = worst < 1e-5 and all(map(math.isfinite, costs))
        found.add(f"recorded == called: {name}", holds, apart=worst)


def like_the_cpu(found: Findings, device: torch.device) -> None:
    """The costs of all epochs are the CPU's."""
    for name in MODELS:
        tried = case(name, IMAGES)
        states, costs = tried.trained(device)
        wanted_states, wanted = tried.trained("cpu")
        nats = max(abs(a - b) for a, b in zip(costs, wanted, strict=True))
        found.add(f"the CPU's costs: {name}", nats < NATS, nats=nats, apart=apart(states, wanted_states))


def precisions(found: Findings, device: torch.device) -> None:
    """Products and convolutions are as precise as they should be; what that does to costs."""
    draw = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw).to(device)

    a, b = numbers(3, 128, 512), numbers(3, 512, 256)
    x, w = numbers(64, 24, 16, 16), numbers(48, 24, 3, 3)
    exact_product = a.cpu().double() @ b.cpu().double()
    exact_convolution = F.conv2d(x.cpu().double(), w.cpu().double(), padding=1)
    for precise, most in ERRORS.items():
        with precision.rounded(precise):
            kind = precision.factors()
            product = affine(precision.factor(a, kind), precision.factor(b, kind))
            convolution = F.conv2d(x.to(kind), w.to(kind), padding=1)
        for what, result, exact in (
            ("product", product, exact_product),
            ("convolution", convolution, exact_convolution),
        ):
            error = float((result.cpu().double() - exact).norm() / exact.norm())
            found.add(f"{precise}: error of a {what}", error < most, error=error)
    for name in ("paper", "sharp"):
        _, wanted = case(name, 2 * IMAGES).trained(device)
        others: tuple[Precision, ...] = ("tf32", "bf16")
        for other in others:
            _, costs = case(name, 2 * IMAGES, precision=other).trained(device)
            nats = max(abs(a - b) for a, b in zip(costs, wanted, strict=True))
            found.add(f"{other}: costs of {name}", nats < 10 * NATS, nats=nats)


def repeatable(found: Findings, device: torch.device) -> None:
    """Twice the same training makes the same models, to the bit."""
    for name in MODELS:
        tried = case(name, 2 * IMAGES)
        worst = apart(tried.trained(device)[0], tried.trained(device)[0])
        found.add(f"twice the same: {name}", worst == 0, apart=worst)


def resumed(found: Findings, device: torch.device) -> None:
    """A training that goes on from its checkpoints makes the models of one that was never stopped."""
    for name in MODELS:
        tried = case(name, IMAGES, epochs=4)
        whole, _ = tried.trained(device)
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder, f"{state.component}.safetensors") for state in tried.states]
            for epoch in tried.fit(device):
                if epoch.number == 2:
                    for path, state in zip(paths, epoch.states(), strict=True):
                        save_checkpoint(path, state)
                    break
            states = [load_checkpoint(path) for path in paths]
        worst = apart(whole, replace(tried, states=states).trained(device)[0])
        found.add(f"resumed == uninterrupted: {name}", worst == 0, apart=worst)


def surroundings(found: Findings, device: torch.device) -> None:
    """In a thread, beside a training that waits, when costs diverge, and on another GPU than the current."""
    tried = case("paper", IMAGES)
    wanted, _ = tried.trained(device)
    made = []
    thread = threading.Thread(target=lambda: made.append(tried.trained(device)[0]))
    thread.start()
    thread.join()
    found.add("in a thread", bool(made) and apart(wanted, made[0]) == 0)
    waiting = tried.fit(device)
    next(waiting)
    found.add("while another training waits", apart(wanted, tried.trained(device)[0]) == 0)
    waiting.close()
    # Adam moves each weight by about this much a step: hardly a model survives it.
    diverging = replace(tried, config=replace(tried.config, learning_rate=1.0, epochs=20))
    try:
        _, costs = diverging.trained(device)
        found.add("costs that are no numbers are told", all(map(math.isfinite, costs)), most=max(costs))
    except CostNotFinite as error:
        found.add("costs that are no numbers are told", epoch=error.epoch)
    if device.type != "cuda":
        return
    others = [torch.device("cuda", n) for n in range(torch.cuda.device_count())][1:]
    for other in others:
        worst = apart(wanted, tried.trained(other)[0])
        found.add(f"{other} while cuda:0 is current", worst < 1e-5, apart=worst)
    if not others:
        found.add("another GPU than the current one", None, gpus=1)


def left_behind(found: Findings, device: torch.device) -> None:
    """Trainings that ended leave nothing on the device, without Python's collector too."""
    if device.type != "cuda":
        found.add("memory left behind", None)
        return
    tried = case("paper", IMAGES)
    tried.trained(device)
    gc.collect()
    before = torch.cuda.memory_allocated(device)
    gc.disable()
    try:
        for _ in range(4):
            tried.trained(device)
        grown = torch.cuda.memory_allocated(device) - before
    finally:
        gc.enable()
    found.add("memory left behind by four trainings", grown < 1 << 20, bytes=grown)
