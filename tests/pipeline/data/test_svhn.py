"""On real SVHN files, where there are some: `VAEPIPE_SVHN` names the folder."""

import dataclasses
import os
from pathlib import Path

import pytest
import torch

from pipeline.common import paths
from pipeline.data import images
from pipeline.experiment import params
from pipeline.experiment.params import SyntheticConfig
from pipeline.stages import convert, download, split
from pipeline.stages.download import DownloadConfig
from tests.helpers.checkout import CUT, ROOT
from vae.baseline import entropy_floor
from vae.config import Sizes
from vae.evaluate import evaluate
from vae.fit import fit
from vae.stack import assemble, initial_state

FOLDER = Path(os.environ.get("VAEPIPE_SVHN", ROOT.parent / "shared/svhn"))
SLICE = {"train": 6077, "test": 1069}  # images of the slice that the figures below were measured on

pytestmark = [
    pytest.mark.svhn,
    pytest.mark.slow,
    pytest.mark.skipif(not (FOLDER / "train_32x32.mat").exists(), reason=f"no SVHN files in {FOLDER}"),
]


@pytest.mark.day
def test_the_papers_model_costs_what_a_textbook_script_measured(workspace: Path) -> None:
    """Red after 10 epochs, on the 6,077/1,069-image slice: 638.6 nats by an independent script."""
    download.run(DownloadConfig(str(FOLDER)), SyntheticConfig(1, 1, 1, 0))
    convert.run(*CUT)
    split.run()
    train = torch.from_numpy(images.load_training(["red"], 0.0)[0].pixels["red"])[None]
    if train.shape[1] != SLICE["train"]:
        pytest.skip(f"{FOLDER} holds other images than the slice that was measured")
    from pipeline.data import store

    with store.read(paths.channel("red"), dimensions=3) as splits:
        test = torch.from_numpy(splits["test"].images[:]).flatten(1)[None]
    assert test.shape[1] == SLICE["test"]
    assert entropy_floor(test[0]) == pytest.approx(594.2, abs=0.05)

    read = params.read(ROOT / "params.yaml")
    config = dataclasses.replace(read.train, epochs=10)
    *_, last = fit(
        train, [initial_state("red", train[0], Sizes((1, 32, 32)), read.model, config.seed)], config
    )
    model = assemble(last.states(), torch.device("cpu"))
    assert evaluate(model, ["red"], test, config.seed)[0].cost == pytest.approx(638.6, abs=3)
