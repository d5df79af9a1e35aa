"""The paper's model as a textbook would train it: nn.Linear, a DataLoader, Adam, and .item() every step."""

import time

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
