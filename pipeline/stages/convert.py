"""convert: the .mat files to one HDF5 file, images as (N, 3, 32, 32), the digit 0 labelled 0."""

from pipeline import files, layout, store
from pipeline.data import matfile
from pipeline.progress import bar


def run() -> None:
    """Read data/raw/*.mat, write data/svhn.h5. One split is in memory at a time."""
    splits = [split for split in layout.SPLITS if layout.raw(split).exists() or split != "extra"]
    with store.create(layout.IMAGES) as file:
        for split in splits:
            path = layout.raw(split)
            images, labels = matfile.read(path)
            provenance = store.Provenance(path.name, path.stat().st_size, files.md5(path))
            dataset = file.create(split, images.shape, labels, provenance)
            with bar(f"convert {split}", len(images), "images") as advance:
                for start in range(0, len(images), store.BLOCK):
                    block = images[start : start + store.BLOCK]
                    dataset[start : start + len(block)] = block
                    advance(len(block))
