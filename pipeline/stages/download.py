"""download: the .mat files, from a web server, a folder, or the generator of house numbers."""

from pathlib import Path

from pipeline import files, layout
from pipeline.data import matfile, official, synthetic
from pipeline.params import SYNTHETIC, SyntheticConfig
from pipeline.progress import bar


def run(source: str, extra: bool, generated: SyntheticConfig) -> None:
    """Write data/raw/{train,test[,extra]}_32x32.mat."""
    splits = layout.SPLITS if extra else layout.SPLITS[:2]
    with files.atomic_directory(layout.RAW) as raw:
        for split in splits:
            target = raw / layout.raw(split).name
            if source == SYNTHETIC:
                _generate(split, target, generated)
            elif "://" in source:
                _download(split, target, source)
            else:
                _copy(target, Path(source))


def _generate(split: str, target: Path, config: SyntheticConfig) -> None:
    count = getattr(config, split)
    with bar(f"generate {split}", count, "images") as advance:
        images, labels = synthetic.generate(count, seed=config.seed, split=split, progress=advance)
    matfile.write(target, images, labels)


def _download(split: str, target: Path, source: str) -> None:
    # DVC deletes data/raw before each run of this stage, so verified files are kept elsewhere.
    kept = layout.DOWNLOADS / target.name
    known = official.OFFICIAL[split]
    if not (kept.exists() and kept.stat().st_size == known.size and files.md5(kept) == known.md5):
        with bar(f"download {target.name}", known.size, "bytes") as advance:
            official.fetch(f"{source.rstrip('/')}/{target.name}", kept, known, advance)
    official.link(kept, target)


def _copy(target: Path, folder: Path) -> None:
    source = folder.expanduser() / target.name
    size = source.stat().st_size if source.exists() else 0
    with bar(f"copy {source}", size, "bytes") as advance:
        official.copy(source, target, advance)
