"""convert: the .mat files to one HDF5 file, images as (N, 3, 32, 32), the digit 0 labelled 0.

Own images, (N, 3, H, W), arrive in that layout already.
"""

from pipeline import files, layout, store
from pipeline.data import matfile
from pipeline.progress import bar


def run() -> None:
    """Read data/raw, write data/svhn.h5. One split is in memory at a time."""
    if layout.OWN.exists():
        _copy()
    else:
        _convert()


def _copy() -> None:
    with store.read(layout.OWN, dimensions=4) as splits, store.create(layout.IMAGES) as file:
        for name, split in splits.items():
            dataset = file.create(name, split.shape, split.labels, split.provenance, split.classes)
            with bar(f"convert {name}", split.shape[0], "images") as advance:
                for block in split.blocks():
                    dataset[block] = split.images[block]
                    advance(block.stop - block.start)


def _convert() -> None:
    with store.create(layout.IMAGES) as file:
        for split in layout.SPLITS:
            if layout.raw(split).exists() or split != "extra":
                _convert_split(split, file)


def _convert_split(split: str, file: store.Writer) -> None:
    path = layout.raw(split)
    images, labels = matfile.read(path)
    provenance = store.Provenance(path.name, path.stat().st_size, files.md5(path))
    dataset = file.create(split, images.shape, labels, provenance)
    with bar(f"convert {split}", len(images), "images") as advance:
        for start in range(0, len(images), store.BLOCK):
            block = images[start : start + store.BLOCK]
            dataset[start : start + len(block)] = block
            advance(len(block))
