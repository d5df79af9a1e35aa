"""The paper's model in pythae 0.1.2 (Chadebec et al. 2022), as its documentation would have it."""

import contextlib
import io
import logging
import tempfile
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vae.config import ModelConfig


def fit(images: Tensor, config: ModelConfig, epochs: int, batch_size: int, device: str) -> list[float]:
    """Seconds of each epoch. images: (N, D) uint8."""
    logging.disable(logging.WARNING)
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Clock(TrainingCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.started, self.seconds = 0.0, list[float]()

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            self.seconds.append(time.perf_counter() - self.started)

    clock, pixels = Clock(), images.shape[1]
    about = VAEConfig(input_dim=(pixels,), latent_dim=config.latent, reconstruction_loss="bce")
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            VAE(about, *_networks(pixels, config)),
            BaseDataset(images.float() / 255, torch.zeros(len(images))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=epochs,
                learning_rate=1e-3,
                per_device_train_batch_size=batch_size,
                optimizer_cls="Adam",
                no_cuda=device == "cpu",
            ),
            callbacks=[clock],
        )
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            trainer.train()
    return clock.seconds


def _networks(pixels: int, config: ModelConfig) -> tuple[Any, Any]:
    """Encoder and decoder, as pythae wants them written."""
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    (m, n), latent = config.hidden, config.latent

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.latent_dim = latent
            self.first, self.second = nn.Linear(pixels, m), nn.Linear(m, n)
            self.mu, self.logvar = nn.Linear(n, latent), nn.Linear(n, latent, bias=False)

        def forward(self, x: Tensor) -> Any:
            h = F.softplus(self.second(F.softplus(self.first(x.flatten(1)))))
            return ModelOutput(embedding=self.mu(h), log_covariance=self.logvar(h))

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(latent, n), nn.Linear(n, m)
            self.output = nn.Linear(m, pixels)

        def forward(self, z: Tensor) -> Any:
            h = F.softplus(self.second(F.softplus(self.first(z))))
            return ModelOutput(reconstruction=torch.sigmoid(self.output(h)))

    return Encoder(), Decoder()
