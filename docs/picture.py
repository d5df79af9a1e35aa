"""The README's picture, from a workspace in which `dvc repro` ran on generated house numbers.

vaepipe init pictures && cd pictures
# in params.yaml: data.source: synthetic, and 20,000 training and 2,000 test images
dvc repro
python ../docs/picture.py reconstructions.png
"""

import base64
import sys
from pathlib import Path

import numpy as np

from pipeline import layout, params, store
from pipeline.report import figures

COLUMNS, ROWS = 20, 3


def main(path: Path) -> None:
    if params.read().data.source != params.SYNTHETIC:
        raise SystemExit("pictures for the documentation come from generated images alone")
    with store.read(layout.IMAGES, dimensions=4) as files:
        originals = files["test"].images[: COLUMNS * ROWS]
    with store.read(layout.RECONSTRUCTIONS, dimensions=4) as files:
        reconstructions = files["test"].images[: COLUMNS * ROWS]
    pairs = np.stack([figures.opaque(originals), figures.opaque(reconstructions)])
    bands = pairs.reshape(2, ROWS, COLUMNS, *pairs.shape[2:]).swapaxes(0, 1)
    uri = figures.grid(bands.reshape(2 * ROWS, COLUMNS, *pairs.shape[2:]), scale=2)
    path.write_bytes(base64.b64decode(uri.split(",")[1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
