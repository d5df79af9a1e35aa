"""Workspaces in which merge is next, with models that were hardly trained."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.common import paths
from pipeline.data import store
from pipeline.experiment import params
from pipeline.stages import classifier as classifier_stage
from tests.helpers.checkout import ROOT
from tests.helpers.models import start
from vae import classifier
from vae.config import ModelConfig, Sizes, numbered
from vae.modelfile import save_model

TINY = {
    "latent": 3,
    "hidden": (6,),
    "activation": "relu",
    "centred": True,
    "shortcut": True,
    "calibrated": True,
}


def write_channels(images: np.ndarray, labels: np.ndarray, fitted: int) -> None:
    """Write data/channels of RGB images, (N, 3, H, W) uint8: the first `fitted` are for training."""
    for channel, colour in enumerate(paths.COLOURS):
        with store.create(paths.channel(colour)) as file:
            for name, part in (("train", slice(fitted)), ("test", slice(fitted, None))):
                pixels = images[part, channel]
                file.create(name, pixels.shape, labels[part])[:] = pixels


def ready(config: ModelConfig, monkeypatch: pytest.MonkeyPatch, classes: int = 0) -> params.Params:
    """A workspace in which merge is next."""
    monkeypatch.setattr(classifier, "STEPS", 3)
    classifier_stage.run(config.conditional, 0.0, 0)
    names = paths.components(config.channels)
    paths.MODELS.mkdir()
    paths.HISTORY.parent.mkdir()
    rows = [f"1,{name},train,700,690,10\n" for name in names]
    paths.HISTORY.write_text("".join(["epoch,component,split,cost,reconstruction,kl\n", *rows]))
    for name in names:
        sizes = Sizes((len(paths.colours(name)), 16, 16), numbered(classes))
        save_model(paths.model(name), start(name, sizes, config))
    read = params.read(ROOT / "params.yaml")
    return replace(read, model=config, data=replace(read.data, validation=0.0))
