"""The paper's model in pythae 0.1.2 (Chadebec et al. 2022), as its documentation would have it."""

import contextlib
import io
import logging
import math
import tempfile
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.training import Task, Trained
from vae.accept import textbook
from vae.config import ModelConfig


def fit(task: Task) -> Trained:
    """Train one channel."""
    logging.disable(logging.WARNING)
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Clock(TrainingCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.started, self.seconds, self.cost = 0.0, list[float](), math.nan

        def on_epoch_begin(self, *_: Any, **__: Any) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, *_: Any, **__: Any) -> None:
            self.seconds.append(time.perf_counter() - self.started)

        def on_log(self, training_config: Any, logs: dict[str, float], **_: Any) -> None:
            self.cost = logs["train_epoch_loss"]

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = BaseTrainer(
            model(task),
            BaseDataset(task.images.float() / 255, torch.zeros(len(task.images))),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=task.epochs,
                learning_rate=1e-3,
                per_device_train_batch_size=task.batch_size,
                optimizer_cls="Adam",
                no_cuda=task.device == "cpu",
            ),
            callbacks=[clock],
        )
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            trainer.train()
    return Trained(clock.seconds, clock.cost)


def model(task: Task) -> Any:
    """Its VAE with the paper's networks, at its start."""
    from pythae.models import VAE, VAEConfig

    pixels = task.images.shape[1]
    about = VAEConfig(input_dim=(pixels,), latent_dim=task.config.latent, reconstruction_loss="bce")
    vae = VAE(about, *_networks(pixels, task.config))
    textbook.start_from(task.weights, vae.encoder, vae.decoder)
    return vae


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
