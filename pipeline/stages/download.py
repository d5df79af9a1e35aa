"""download: SVHN's files, from a web server, a folder, or the generator of house numbers; or own images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError, printable
from pipeline.common.image_limits import Frames
from pipeline.common.progress import bar, console
from pipeline.data import sources
from pipeline.data.own import folder, npz, pictures
from pipeline.data.svhn import archive, fetch, matfile, official_files
from pipeline.data.svhn.official_files import OfficialFile
from pipeline.data.synthetic import crops, photos
from pipeline.experiment import places
from pipeline.experiment.params import Format, SyntheticConfig

SVHN_SIZE = 32  # pixels a side of its cropped digits
NAMED = 3  # files that a notice names
SOURCES = "a URL, a folder that holds pictures or SVHN's files, an .npz file, or synthetic"


@dataclass(frozen=True)
class DownloadConfig:
    """Images to get, and what is made of a user's own (see `params.DataConfig`)."""

    source: str
    format: Format = "cropped"
    extra: bool = False
    size: int | None = None
    frames: Frames = "one"
    white_level: int | None = None
    test: float = 0.0


def run(data: DownloadConfig, generated: SyntheticConfig) -> None:
    """Write data/raw/{train,test[,extra]}_32x32.mat, or {train,test}.tar.gz, or images.h5 from own images.

    Raises:
        PipelineError: the source is not there, damaged, or does not go with the other parameters; or data/raw
            holds what this stage did not write.
    """
    if sources.is_local(data.source):
        places.check_source(sources.path_of(data.source))
    places.check_sums()
    kind = sources.kind_of(data.source, data.format)
    if kind == "own":
        path = sources.path_of(data.source)
        _check_own(path)
        _write_own(path, data)
        return
    if data.white_level is not None or data.frames != "one":
        wrong = "data.frames" if data.white_level is None else "data.white_level"
        raise PipelineError(
            f"{paths.PARAMS}: {wrong} is set, but only your own pictures are read by it; leave it at "
            f"{'one' if data.white_level is None else 'null'}"
        )
    if data.format == "cropped" and data.size not in (None, SVHN_SIZE):
        raise PipelineError(
            f"{paths.PARAMS}: data.size is {data.size}, but SVHN's crops and generated ones have "
            f"{SVHN_SIZE} pixels a side; set it to {SVHN_SIZE}, or data.format to full"
        )
    splits = paths.SVHN_SPLITS if data.extra else paths.SVHN_SPLITS[:2]
    place, known = official_files.files_of(data.format)
    with files.atomic_directory(paths.RAW) as raw:
        for split in splits:
            target = raw / place(split).name
            match kind:
                case "generated":
                    _generate(split, target, generated, data.format)
                case "server":
                    _download(known[split], target, data.source)
                case "svhn" if data.format == "full":
                    _copy_photos(split, target, sources.path_of(data.source))
                case "svhn":
                    _copy(target, sources.path_of(data.source))
                case _:
                    assert_never(kind)
        places.write_sums(raw)


def _check_own(path: Path) -> None:
    """Raise unless it is a folder that may hold pictures, or an .npz file."""
    if not path.exists():
        raise PipelineError(
            f"{printable(path)}: not found; data.source is {SOURCES}; a relative path is meant from "
            f"{printable(Path.cwd())}"
        )
    if path.is_dir():
        if any(sources.photos_in(path, split) for split in paths.SVHN_SPLITS):
            raise PipelineError(
                f"{paths.PARAMS}: data.format is cropped, but {printable(path)} holds SVHN's photos of "
                "full numbers; set it to full"
            )
    elif path.suffix.lower() != ".npz":
        raise PipelineError(f"{printable(path)}: a file that is no .npz; data.source is {SOURCES}")


def _write_own(source: Path, data: DownloadConfig) -> None:
    if data.extra:
        raise PipelineError(
            f"{paths.PARAMS}: data.extra is true, but {printable(source)} has no extra set, as only SVHN "
            "has one; set it to false"
        )
    reading = pictures.Reading(data.size, data.frames, data.white_level)
    found = None
    if source.is_dir():
        expand = pictures.frames if data.frames == "all" else folder.whole_files
        found = folder.find(source, data.test, expand)
        _say(found.notes)
        _say_what_is_left_out(found.left_out)
    with files.atomic_directory(paths.RAW) as raw:
        target = raw / paths.OWN_IMAGES.name
        if found:
            pictures.write(target, source, found.listings, reading)
        else:
            _say(npz.write(target, source, reading, data.test))
        places.write_sums(raw)


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _say_what_is_left_out(others: Sequence[Path]) -> None:
    """Name some of the files that no split has, and list all of them."""
    listing = paths.state() / "left-out.txt"
    if not others:
        listing.unlink(missing_ok=True)
        return
    files.write_text(listing, "".join(f"{printable(path)}\n" for path in others))
    named = ", ".join(printable(path) for path in others[:NAMED])
    more = f", ...; all are listed in {listing}" if len(others) > NAMED else ""
    _say([f"left out {len(others):,} other file{'s' * (len(others) > 1)}: {named}{more}"])


def _generate(split: str, target: Path, config: SyntheticConfig, kind: Format) -> None:
    count = getattr(config, split)
    with bar(f"generate {split}", count, "images") as advance:
        if kind == "full":
            photos.write(target, count, seed=config.seed, split=split, advance=advance)
            return
        images, labels = crops.generate(count, seed=config.seed, split=split, progress=advance)
    matfile.write(target, images, labels)


def _download(known: OfficialFile, target: Path, source: str) -> None:
    # DVC deletes data/raw before each run of this stage, so verified files are kept elsewhere.
    kept = paths.downloads() / target.name
    with fetch.locked(kept):
        if not fetch.is_whole(kept, known):
            with bar(f"download {target.name}", known.size, "bytes") as advance:
                fetch.fetch(f"{source.rstrip('/')}/{target.name}", kept, known, advance)
        official_files.link(kept, target)


def _copy(target: Path, place: Path) -> None:
    source = place / target.name
    if not place.is_dir():
        raise PipelineError(f"{printable(place)}: not a folder; data.source is {SOURCES}")
    size = source.stat().st_size if source.exists() else 0
    with bar(f"copy {printable(source)}", size, "bytes") as advance:
        official_files.copy(source, target, advance)


def _copy_photos(split: str, target: Path, place: Path) -> None:
    """An archive as it is; a .tar, or what was unpacked from one, packed again."""
    found = sources.photos_in(place, split)
    if found is None or found.name == target.name:
        _copy(target, place)
        return
    with bar(f"pack {printable(found)}", archive.bytes_of(found), "bytes") as advance:
        archive.pack(found, split, target, advance)
