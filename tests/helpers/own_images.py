"""A user's own images, downloaded and converted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import store
from pipeline.experiment.params import SyntheticConfig
from pipeline.stages import convert, download, split
from pipeline.stages.download import DownloadConfig
from tests.helpers.arrays import equal
from tests.helpers.checkout import CUT
from tests.helpers.drawings import noise

UNUSED = SyntheticConfig(1, 1, 1, 0)


Sets = dict[str, tuple[np.ndarray, np.ndarray | None]]


def get(source: str, size: int | None = None, test: float = 0.2, **reading: Any) -> Sets:
    """Images and labels of each split in svhn.h5, once channel files were seen to hold the same."""
    download.run(DownloadConfig(source, size=size, test=test, **reading), UNUSED)
    convert.run(*CUT)
    split.run()
    with store.read(paths.IMAGES, dimensions=4) as splits:
        sets = {name: (s.images[:], s.labels) for name, s in splits.items()}
    for c, component in enumerate(paths.COLOURS):
        with store.read(paths.channel(component), dimensions=3) as splits:
            for name, (images, labels) in sets.items():
                assert np.array_equal(splits[name].images[:], images[:, c])
                assert equal(splits[name].labels, labels)
    return sets


def line(source: str, size: int | None = None, test: float = 0.2, *, extra: bool = False) -> str:
    """What is said of a source, in one line, with nothing written."""
    with pytest.raises(PipelineError) as caught:
        download.run(DownloadConfig(source, extra=extra, size=size, test=test), UNUSED)
    said = str(caught.value)
    assert said.isprintable()
    assert not paths.RAW.exists()
    assert not list(Path().glob("data/.*"))
    return said


FEW = noise(4, 8, 8)
