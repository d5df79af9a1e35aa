"""Needs of an experiment in bytes, worked out from its parameters and the numbers of images."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from pipeline.common import paths
from vae.config import ModelConfig, Sizes, numbered

CHANNELS = len(paths.COLOURS)
IMAGE_SIZE = 32  # pixels, of SVHN's crops and of generated ones
NUMBER = 4  # bytes of a float32
COPIES = 3  # of each weight in a checkpoint: itself and Adam's two moments
EPOCHS_KEPT = 3  # on the disk at once: two whole ones, and the one being written

# Measured: Ray's own processes and the driver, and a rank with torch in it.
BASE_MEMORY, RANK_MEMORY = 1_800_000_000, 300_000_000


@dataclass(frozen=True)
class Experiment:
    """The size of an experiment."""

    images: Mapping[str, int]  # by split
    image_size: int  # pixels a side, as data.size
    raw: int  # bytes of data/raw
    validation: float  # share of the training images that is never fitted
    guessed: bool  # the source does not tell how many images it has, so SVHN's numbers stand in

    @property
    def fitted(self) -> int:
        """Training images, those that are held out left aside."""
        train = self.images["train"]
        return train - int(train * self.validation) + self.images.get("extra", 0)

    @property
    def pixels(self) -> int:
        """Pixels of one channel of an image."""
        return self.image_size**2

    def sizes(self, model: ModelConfig) -> Sizes:
        """Sizes of each component's model; classes are taken to be the ten digits."""
        channels = len(paths.colours(paths.components(model.channels)[0]))
        return Sizes((channels, self.image_size, self.image_size), numbered(10) if model.conditional else ())

    @property
    def training_bytes(self) -> int:
        """Bytes of all images but the test set's."""
        return (self.images["train"] + self.images.get("extra", 0)) * CHANNELS * self.pixels

    @property
    def summary(self) -> str:
        counts = ", ".join(f"{count:,} {split}" for split, count in self.images.items())
        return f"valid; {counts} images{' (if the source has as many as SVHN)' if self.guessed else ''}"


def parameters(model: ModelConfig, sizes: Sizes) -> int:
    """Numbers that are fitted of one component's model, counted without torch, which takes long to load."""
    (channels, height, width), pixels, latent = sizes.image, sizes.pixels, model.latent
    hidden, outward = model.hidden, tuple(reversed(model.hidden))
    if model.architecture == "mlp":
        features = hidden[-1]
        layers = [(i, o) for i, o in (*pairwise((pixels, *hidden)), *pairwise((latent, *outward, pixels)))]
        total = sum((i + 1) * o for i, o in layers) + sizes.classes * (hidden[0] + outward[0])
    else:
        smallest = [-(-side // 2 ** len(hidden)) for side in (height, width)]
        features = hidden[-1] * smallest[0] * smallest[1]
        down = sum((16 * i + 1) * o for i, o in pairwise((channels, *hidden)))
        up = sum((9 * i + 1) * 4 * o for i, o in pairwise((*outward, channels)))
        residual = 2 * sum(2 * (9 * c + 1) * c for c in hidden)
        total = (
            down + up + residual + (latent + 1) * features + pixels + sizes.classes * (hidden[0] + features)
        )
    # Two heads, of which one has a bias, and their calibration; the shortcuts; the Gaussian's deviation.
    heads = (2 * features + 1 + 2 * model.calibrated) * latent
    return total + heads + 2 * model.shortcut * pixels * latent + (model.likelihood == "gaussian")


def _all_parameters(size: Experiment, model: ModelConfig) -> int:
    return parameters(model, size.sizes(model)) * len(paths.components(model.channels))


def disk(size: Experiment, model: ModelConfig) -> dict[str, int]:
    """Bytes that a run leaves on the disk, by part. A label is a byte, and each file has its own."""
    total, image = sum(size.images.values()), CHANNELS * size.pixels
    fitted = _all_parameters(size, model) * NUMBER
    return {
        "raw": size.raw,
        "svhn.h5": total * (image + 1),
        "channels": total * (image + CHANNELS),
        "models": fitted,
        "reconstructions": size.images["test"] * (image + 1),
        "checkpoints": fitted * COPIES * EPOCHS_KEPT,
    }


def memory(size: Experiment, model: ModelConfig) -> int:
    """Bytes of a training on the CPU: the images in the driver and in the object store, and the ranks."""
    ranks = len(paths.components(model.channels)) * RANK_MEMORY
    ranks += 2 * _all_parameters(size, model) * NUMBER * COPIES
    return BASE_MEMORY + ranks + 2 * size.training_bytes
