"""The documentation's pictures, from workspaces in which `dvc repro` ran on generated house numbers.

vaepipe init paper && cd paper
# in params.yaml: data.source: synthetic, and 20,000 training and 2,000 test images
dvc repro
python docs/picture.py reconstructions.png paper            # originals, each above its reconstruction
python docs/picture.py compared.png paper separate joint    # the same images, a row for each workspace
python docs/picture.py --digits digits.png conditional      # samples: a row for each digit
python docs/picture.py --crops crops.png full               # with data.format: full and data.size: 64
python docs/picture.py --study activation studies.png paper # what `vaepipe study activation` left there
"""

import argparse
import base64
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from pipeline.common import paths
from pipeline.data import store
from pipeline.data.svhn import full_numbers
from pipeline.data.svhn.full_numbers import CropConfig
from pipeline.experiment import params
from pipeline.report import figures, latent_pictures
from vae.images import to_bytes
from vae.modelfile import load_model
from vae.stack import assemble

COLUMNS, ROWS = 20, 3


def images(path: Path) -> np.ndarray:
    """The first test images of a file, (COLUMNS * ROWS, 3, H, W) uint8."""
    with store.read(path, dimensions=4) as splits:
        return splits["test"].images[: COLUMNS * ROWS]


def reconstructions(workspaces: list[Path]) -> np.ndarray:
    """Tiles: bands of a row of originals and a row of each workspace's reconstructions."""
    rows = [images(workspaces[0] / paths.IMAGES)]
    rows += [images(workspace / paths.RECONSTRUCTIONS) for workspace in workspaces]
    tiles = np.stack([figures.opaque(row) for row in rows])
    # The more there is to compare, the fewer images.
    bands = ROWS if len(workspaces) == 1 else 1
    tiles = tiles[:, : bands * COLUMNS].reshape(len(rows), bands, COLUMNS, *tiles.shape[2:])
    return tiles.swapaxes(0, 1).reshape(bands * len(rows), COLUMNS, *tiles.shape[3:])


def digits(workspace: Path) -> np.ndarray:
    """Tiles: a row of samples for each digit."""
    state = load_model(workspace / paths.model(paths.JOINT))
    model = assemble([state], torch.device("cpu"))
    samples, _ = latent_pictures.drawn_on_demand(model, state.component, COLUMNS, seed=0)
    return figures.opaque(to_bytes(samples)).reshape(-1, COLUMNS, *samples.shape[2:], 4)


def cropped(workspace: Path) -> np.ndarray:
    """Tiles: the same digits of photos in three rows, as SVHN crops them, and as convert does."""
    size, rows = 64, []
    for margin, neighbours in ((0.0, "shown"), (0.1, "shown"), (0.1, "hidden")):
        with TemporaryDirectory() as folder:
            path = Path(folder) / "crops.h5"
            with chdir(workspace), store.create(path) as file:
                full_numbers.write(file, "test", paths.archive("test"), CropConfig(size, margin, neighbours))
            with store.read(path, dimensions=4) as splits:
                rows.append(figures.opaque(splits["test"].images[:COLUMNS]))
    return np.stack(rows)


def main() -> None:
    """Draw the README's pictures from the generator's house numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--digits", action="store_true")
    parser.add_argument("--study")
    parser.add_argument("--crops", action="store_true")
    parser.add_argument("picture", type=Path)
    parser.add_argument("workspaces", type=Path, nargs="+")
    arguments = parser.parse_args()
    for workspace in arguments.workspaces:
        if params.read(workspace / paths.PARAMS).data.source != params.SYNTHETIC:
            raise SystemExit(f"{workspace}: pictures for the documentation come from generated images alone")
    if arguments.study:
        [workspace] = arguments.workspaces
        arguments.picture.write_bytes(
            (workspace / paths.study(arguments.study) / "pictures.png").read_bytes()
        )
        return
    first = arguments.workspaces[0]
    tiles = digits(first) if arguments.digits else cropped(first) if arguments.crops else None
    tiles = reconstructions(arguments.workspaces) if tiles is None else tiles
    scale = 1 if arguments.crops else 2
    arguments.picture.write_bytes(base64.b64decode(figures.grid(tiles, scale).split(",")[1]))


if __name__ == "__main__":
    main()
