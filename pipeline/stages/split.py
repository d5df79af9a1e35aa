"""split: the RGB file to one file a channel, images as (N, H, W)."""

from contextlib import ExitStack

from pipeline.common import paths
from pipeline.common.progress import bar
from pipeline.data import store


def run() -> None:
    """Read data/svhn.h5, write data/channels/*.h5. A block of images is in memory at a time."""
    with ExitStack() as stack:
        splits = stack.enter_context(store.read(paths.IMAGES, dimensions=4))
        writers = [stack.enter_context(store.create(paths.channel(c))) for c in paths.COLOURS]
        for name, split in splits.items():
            images, _, height, width = split.shape
            datasets = [
                writer.create(name, (images, height, width), split.labels, split.provenance, split.classes)
                for writer in writers
            ]
            with bar(f"split {name}", images, "images") as advance:
                for block in split.blocks():
                    rgb = split.images[block]
                    for channel, dataset in enumerate(datasets):
                        dataset[block] = rgb[:, channel]
                    advance(len(rgb))
