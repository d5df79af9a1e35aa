"""download: the .mat files, from a web server, a folder, or the generator of house numbers; or own images."""

from pathlib import Path

from pipeline import files, layout
from pipeline.data import folder, matfile, npzfile, official, pictures, synthetic, transfer
from pipeline.errors import PipelineError
from pipeline.params import SYNTHETIC, SyntheticConfig
from pipeline.progress import bar, console

SVHN_SIZE = 32  # pixels a side
NAMED = 3  # files that a notice names
SOURCES = "a URL, a folder that holds pictures or the .mat files, an .npz file, or synthetic"


def run(
    source: str, extra: bool, generated: SyntheticConfig, size: int | None = None, test: float = 0.0
) -> None:
    """Write data/raw/{train,test[,extra]}_32x32.mat, or data/raw/images.h5 from own images.

    Own images are brought to `size` pixels a side; None leaves them as they are. `test` is the share of them
    that is the test split, where they name none.

    Raises:
        PipelineError: the source is not there, damaged, or does not go with the other parameters.
    """
    own = _own_images(source)
    if own:
        _write_own(own, extra, size, test)
        return
    if size not in (None, SVHN_SIZE):
        raise PipelineError(
            f"{layout.PARAMS}: data.size is {size}, but SVHN's crops and generated ones have {SVHN_SIZE} "
            f"pixels a side; set it to {SVHN_SIZE}, or data.source to your own pictures"
        )
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


def _own_images(source: str) -> Path | None:
    """The folder of pictures or the .npz file that the source names; None where it is SVHN or generated."""
    if source == SYNTHETIC or "://" in source:
        return None
    path = Path(source).expanduser()
    if not path.exists():
        raise PipelineError(
            f"{folder.shown(path)}: not found; data.source is {SOURCES}; a relative path is meant from "
            f"{folder.shown(Path.cwd())}"
        )
    if path.is_dir():
        holds_svhn = any((path / layout.raw(split).name).exists() for split in layout.SPLITS)
        return None if holds_svhn else path
    if path.suffix.lower() != ".npz":
        raise PipelineError(f"{folder.shown(path)}: a file that is no .npz; data.source is {SOURCES}")
    return path


def _write_own(source: Path, extra: bool, size: int | None, test: float) -> None:
    if extra:
        raise PipelineError(
            f"{layout.PARAMS}: data.extra is true, but {folder.shown(source)} has no extra set, as only SVHN "
            "has one; set it to false"
        )
    listings = folder.find(source, test) if source.is_dir() else {}
    if listings and (others := folder.left_out(source, listings)):
        named = ", ".join(folder.shown(path) for path in others[:NAMED])
        more = ", ..." if len(others) > NAMED else ""
        console.print(f"left out {len(others):,} other files: {named}{more}", markup=False, soft_wrap=True)
    with files.atomic_directory(layout.RAW) as raw:
        target = raw / layout.OWN.name
        if listings:
            pictures.write(target, source, listings, size)
        else:
            npzfile.write(target, source, size, test)


def _generate(split: str, target: Path, config: SyntheticConfig) -> None:
    count = getattr(config, split)
    with bar(f"generate {split}", count, "images") as advance:
        images, labels = synthetic.generate(count, seed=config.seed, split=split, progress=advance)
    matfile.write(target, images, labels)


def _download(split: str, target: Path, source: str) -> None:
    # DVC deletes data/raw before each run of this stage, so verified files are kept elsewhere.
    kept = layout.DOWNLOADS / target.name
    known = official.OFFICIAL[split]
    with transfer.hold(kept):
        if not transfer.is_whole(kept, known):
            with bar(f"download {target.name}", known.size, "bytes") as advance:
                transfer.fetch(f"{source.rstrip('/')}/{target.name}", kept, known, advance)
        official.link(kept, target)


def _copy(target: Path, folder: Path) -> None:
    source = folder.expanduser() / target.name
    size = source.stat().st_size if source.exists() else 0
    with bar(f"copy {source}", size, "bytes") as advance:
        official.copy(source, target, advance)
