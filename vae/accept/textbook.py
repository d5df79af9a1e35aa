"""The paper's model as a textbook would train it: nn.Linear, a DataLoader, Adam, and .item() every step."""

import time
from collections.abc import Callable

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

    def forward(self, x: Tensor) -> Tensor:
        """The cost, nats an image, averaged over the batch."""
        h = self.encoder(x)
        mu, logvar = self.mu(h), self.logvar(h)
        logits = self.decoder(mu + torch.exp(0.5 * logvar) * torch.randn_like(mu))
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        return (reconstruction - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)).mean()


def fit(images: Tensor, config: ModelConfig, epochs: int, batch_size: int, device: str) -> list[float]:
    """Seconds of each epoch. images: (N, D) uint8."""
    model = VAE(images.shape[1], config).to(device)
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
    return seconds


def stepper(config: ModelConfig, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A step on brightness (B, 1024) that is on the device already, with Adam in one kernel."""
    model = VAE(1024, config).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        cost: Tensor = model(x)
        cost.backward()
        optimizer.step()
        return cost

    return step


def compiled_stepper(config: ModelConfig, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The same compiled as a whole; on CUDA with graphs of its kernels."""
    model = VAE(1024, config).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True, capturable=device.type == "cuda")

    def step(x: Tensor) -> Tensor:
        cost: Tensor = model(x)
        cost.backward()
        optimizer.step()
        optimizer.zero_grad()
        return cost

    compiled = torch.compile(step, mode="reduce-overhead" if device.type == "cuda" else "default")

    def marked(x: Tensor) -> Tensor:
        torch.compiler.cudagraph_mark_step_begin()
        cost: Tensor = compiled(x)
        return cost

    return marked
