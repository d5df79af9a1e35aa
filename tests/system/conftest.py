"""A workspace that is ready for merge."""

from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.stages import convert, split
from tests.helpers.checkout import CUT
from tests.helpers.models import model, square, start
from vae.modelfile import save_model

TINY = model(latent=2, hidden=(4,), activation="relu")


@pytest.fixture
def merged(raw: Path) -> Path:
    """A workspace that is ready for merge, with models that were never trained."""
    convert.run(*CUT)
    split.run()
    paths.MODELS.mkdir()
    for component in paths.COLOURS:
        save_model(paths.model(component), start(component, square(32), TINY))
    paths.HISTORY.parent.mkdir()
    paths.HISTORY.write_text("epoch,component,split,cost,reconstruction,kl\n")
    return raw
