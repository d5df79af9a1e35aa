"""The paper's model as a textbook would train it: nn.Linear, a DataLoader, Adam, and .item() every step."""

import time
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from vae.config import ModelConfig


class VAE(nn.Module):
    """The paper's model, written as tutorials write it."""

    def __init__(self, pixels: int, config: ModelConfig) -> None:
        super().__init__()
        m, n = config.hidden
        self.encoder = nn.Sequential(nn.Linear(pixels, m), nn.Softplus(), nn.Linear(m, n), nn.Softplus())
        self.mu = nn.Linear(n, config.latent)
        self.logvar = nn.Linear(n, config.latent, bias=False)
        self.decoder = nn.Sequential(
            nn.Linear(config.latent, n), nn.Softplus(), nn.Linear(n, m), nn.Softplus(), nn.Linear(m, pixels)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """The cost, nats an image, averaged over the batch (B, D). noise: (B, K); drawn, if none is given."""
        h = self.encoder(x)
        mu, logvar = self.mu(h), self.logvar(h)
        noise = torch.randn_like(mu) if noise is None else noise
        logits = self.decoder(mu + torch.exp(0.5 * logvar) * noise)
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        return (reconstruction - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)).mean()


class Step(Protocol):
    """An optimiser step on brightness (B, D), on the model's device; returns the cost as the model does."""

    def __call__(self, x: Tensor, noise: Tensor | None = None) -> Tensor: ...


# What the engine calls the layers, in this model's order.
LAYERS = (
    *("encoder.layers.0", "encoder.layers.1", "mu", "logvar"),
    *("decoder.layers.0", "decoder.layers.1", "decoder.output"),
)


@torch.no_grad()
def start_from(weights: Mapping[str, Tensor], *parts: nn.Module) -> None:
    """Give the linear layers of a model's parts, in turn, the weights of one of the engine's models."""
    layers = [module for part in parts for module in part.modules() if isinstance(module, nn.Linear)]
    for name, layer in zip(LAYERS, layers, strict=True):
        layer.weight.copy_(weights[f"{name}.weight"].T)
        if layer.bias is not None:
            layer.bias.copy_(weights[f"{name}.bias"])


def fit(images: Tensor, model: VAE, epochs: int, batch_size: int, device: str) -> tuple[list[float], float]:
    """Seconds of each epoch, and the last one's mean cost, nats an image. images: (N, D) uint8."""
    model = model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(images.float() / 255), batch_size, shuffle=True, drop_last=True)
    seconds = []
    for _ in range(epochs):
        started, total = time.perf_counter(), 0.0
        for (x,) in loader:
            optimizer.zero_grad()
            cost = model(x.to(device))
            cost.backward()
            optimizer.step()
            total += cost.item()
        seconds.append(time.perf_counter() - started)
    return seconds, total / len(loader)


def stepper(model: VAE) -> Step:
    """A step with Adam in one kernel, on the model's device."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(x: Tensor, noise: Tensor | None = None) -> Tensor:
        optimizer.zero_grad()
        cost: Tensor = model(x, noise)
        cost.backward()
        optimizer.step()
        return cost

    return step


def compiled_stepper(model: VAE) -> Step:
    """The same compiled as a whole; on CUDA with graphs of its kernels."""
    on_cuda = next(model.parameters()).is_cuda
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=on_cuda)

    def step(x: Tensor, noise: Tensor | None = None) -> Tensor:
        cost: Tensor = model(x, noise)
        cost.backward()
        optimizer.step()
        optimizer.zero_grad()
        return cost

    compiled = torch.compile(step, mode="reduce-overhead" if on_cuda else "default")

    def marked(x: Tensor, noise: Tensor | None = None) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        cost: Tensor = compiled(x, noise)
        return cost

    return marked
