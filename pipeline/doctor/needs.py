"""What an experiment needs: bytes, worked out from its parameters and the numbers of images."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from pipeline import layout
from vae.config import ModelConfig

CHANNELS = len(layout.COMPONENTS)
SIDE = 32  # pixels, of SVHN's crops and of generated ones
NUMBER = 4  # bytes of a float32
COPIES = 3  # of each weight in a checkpoint: itself and Adam's two moments
EPOCHS_KEPT = 3  # on the disk at once: two whole ones, and the one being written

RAY_SHARE = 0.3  # of the available memory, which Ray gives to its object store
# Measured: Ray's own processes and the driver, and a rank with torch in it.
BASE_MEMORY, RANK_MEMORY = 1_800_000_000, 300_000_000


@dataclass(frozen=True)
class Experiment:
    """The size of an experiment."""

    images: Mapping[str, int]  # by split
    side: int  # pixels a side of an image
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
        """Of one channel of an image: the inputs of a model."""
        return self.side**2

    @property
    def training_bytes(self) -> int:
        """Of all images but the test set's."""
        return (self.images["train"] + self.images.get("extra", 0)) * CHANNELS * self.pixels

    @property
    def summary(self) -> str:
        counts = ", ".join(f"{count:,} {split}" for split, count in self.images.items())
        return f"valid; {counts} images{' (if the source has as many as SVHN)' if self.guessed else ''}"


def weights(model: ModelConfig, pixels: int) -> int:
    """Numbers of one channel's model; both heads read the last hidden layer, one of them without a bias."""
    inward = (pixels, *model.hidden, model.latent)
    encoder = sum((i + 1) * o for i, o in pairwise(inward)) + inward[-2] * model.latent
    return encoder + sum((i + 1) * o for i, o in pairwise(reversed(inward)))


def disk(size: Experiment, model: ModelConfig) -> dict[str, int]:
    """Bytes that a run leaves on the disk, by part. A label is a byte, and each file has its own."""
    total, image = sum(size.images.values()), CHANNELS * size.pixels
    parameters = weights(model, size.pixels) * NUMBER * CHANNELS
    return {
        "raw": size.raw,
        "svhn.h5": total * (image + 1),
        "channels": total * (image + CHANNELS),
        "models": parameters,
        "reconstructions": size.images["test"] * (image + 1),
        "checkpoints": parameters * COPIES * EPOCHS_KEPT,
    }


def memory(size: Experiment, model: ModelConfig) -> int:
    """Bytes of a training on the CPU: the images in the driver and in the object store, and the ranks."""
    ranks = CHANNELS * (RANK_MEMORY + 2 * weights(model, size.pixels) * NUMBER * COPIES)
    return BASE_MEMORY + ranks + 2 * size.training_bytes
