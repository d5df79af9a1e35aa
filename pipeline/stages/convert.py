"""convert: the source's files to one HDF5 file, images as (N, 3, H, W), the digit 0 labelled 0.

Own images, (N, 3, H, W), arrive in that layout already.
"""

from pipeline.common import files, paths
from pipeline.common.progress import bar
from pipeline.data import store
from pipeline.data.svhn import full_numbers, matfile
from pipeline.data.svhn.full_numbers import CropConfig
from pipeline.experiment.params import Neighbours


def run(size: int | None, margin: float, neighbours: Neighbours) -> None:
    """Read data/raw, write data/svhn.h5. One split is in memory at a time, of full numbers a few photos.

    The arguments say how full numbers' digits are cropped (see `params.DataConfig`); others are as they are.

    Raises:
        PipelineError: a file is absent, damaged, or of another layout.
    """
    cut = CropConfig(size, margin, neighbours)
    with store.create(paths.IMAGES) as file:
        if paths.OWN_IMAGES.exists():
            _copy(file)
            return
        for split in paths.SVHN_SPLITS:
            if paths.archive(split).exists():
                full_numbers.write(file, split, paths.archive(split), cut)
            elif paths.raw(split).exists() or split != "extra":
                _convert(file, split)


def _copy(file: store.Writer) -> None:
    with store.read(paths.OWN_IMAGES, dimensions=4) as splits:
        for name, split in splits.items():
            dataset = file.create(name, split.shape, split.labels, split.provenance, split.classes)
            with bar(f"convert {name}", split.shape[0], "images") as advance:
                for block in split.blocks():
                    dataset[block] = split.images[block]
                    advance(block.stop - block.start)


def _convert(file: store.Writer, split: str) -> None:
    path = paths.raw(split)
    images, labels = matfile.read(path)
    provenance = store.Provenance(path.name, path.stat().st_size, files.md5(path))
    dataset = file.create(split, images.shape, labels, provenance)
    with bar(f"convert {split}", len(images), "images") as advance:
        for start in range(0, len(images), store.BLOCK):
            block = images[start : start + store.BLOCK]
            dataset[start : start + len(block)] = block
            advance(len(block))
