"""The source of images: is it there, and how large is it? Nothing is read but headers."""

import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.common import paths
from pipeline.common.errors import one_line
from pipeline.data import sources
from pipeline.data.svhn.official_files import OfficialFile, files_of
from pipeline.doctor import machine, needs
from pipeline.doctor.checks import Answer
from pipeline.experiment.params import Params

ANSWER_SECONDS = 5.0  # for a web server to answer
NO_HEAD = {405, 501}  # of a server that answers, but knows no HEAD
BYTES_A_DIGIT = 9_200  # of an archive of generated photos
BYTES_AN_IMAGE = 2_485  # of a .mat file, in SVHN and in what the generator draws


def look_for(params: Params) -> list[Answer]:
    """The source's files, as far as they can be known without reading them."""
    data = params.data
    place, known = files_of(data.format)
    expected = {place(split).name: known[split].size for split in _splits(params)}
    match sources.kind_of(data.source, data.format):
        case "generated":
            return []
        case "server":
            return _on_a_server(data.source, expected)
        case "svhn":
            path = sources.path_of(data.source)
            if _size_of(path) is None:
                return [_gone(path)]
            if data.format == "full":
                return [_photos(path, split) for split in _splits(params)]
            return [_file(path / name) for name in expected]
        case "own":
            return [_own(sources.path_of(data.source), data.source)]


def _splits(params: Params) -> tuple[str, ...]:
    return paths.SVHN_SPLITS if params.data.extra else paths.SVHN_SPLITS[:2]


def _gone(path: Path) -> Answer:
    return Answer(path.name, None, trouble="not found, or closed to you")


def _own(path: Path, source: str) -> Answer:
    """Pictures, or one file with all of them: `vaepipe download` knows what to make of it."""
    if _size_of(path) is None:
        return _gone(path)
    if path.is_dir() and not _files_below(path):
        return Answer(path.name or source, None, trouble="an empty folder")
    return Answer(path.name or source, machine.occupied([path]))


def _on_a_server(source: str, expected: Mapping[str, int]) -> list[Answer]:
    kept = [name for name in expected if _size_of(paths.downloads() / name) == expected[name]]
    urls = [f"{source.rstrip('/')}/{name}" for name in expected if name not in kept]
    asked = _ask(urls) if urls else []
    here = [Answer(f"{name} (downloaded)", expected[name]) for name in kept]
    return here + [Answer(a.name, a.size, expected[a.name], a.trouble) for a in asked]


def _photos(folder: Path, split: str) -> Answer:
    """An archive of photos of full numbers, packed or not, or what was unpacked from one."""
    found = sources.photos_in(folder, split) or folder / paths.archive(split).name
    return Answer(found.name, machine.occupied([found])) if found.is_dir() else _file(found)


def _file(path: Path) -> Answer:
    size = _size_of(path)
    return Answer(path.name, size, trouble="" if size is not None else "not found")


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def size(params: Params, answers: Sequence[Answer]) -> needs.Experiment:
    """Size of the experiment: as the source tells, else as SVHN is."""
    match sources.kind_of(params.data.source, params.data.format):
        case "generated":
            return _size_of_generated(params)
        case "server":
            return _size_of_svhn(params, sum(known.size for known in _official(params).values()))
        case "svhn":
            found = sum(answer.size or 0 for answer in answers)
            return _size_of_folder(params, found, sources.path_of(params.data.source))
        case "own":
            return _size_of_own(params, sources.path_of(params.data.source))


def _official(params: Params) -> dict[str, OfficialFile]:
    _, known = files_of(params.data.format)
    return {split: known[split] for split in _splits(params)}


def _image_size(params: Params) -> int:
    return (params.data.size or needs.IMAGE_SIZE) if params.data.format == "full" else needs.IMAGE_SIZE


def _size_of_generated(params: Params) -> needs.Experiment:
    images = {split: getattr(params.synthetic, split) for split in _splits(params)}
    raw = sum(images.values()) * (BYTES_A_DIGIT if params.data.format == "full" else BYTES_AN_IMAGE)
    return needs.Experiment(images, _image_size(params), raw, params.data.validation, guessed=False)


def _size_of_svhn(params: Params, raw: int, *, guessed: bool = False) -> needs.Experiment:
    images = {split: known.images for split, known in _official(params).items()}
    return needs.Experiment(images, _image_size(params), raw, params.data.validation, guessed=guessed)


def _size_of_folder(params: Params, raw: int, path: Path) -> needs.Experiment:
    """SVHN's files in a folder: .mat files say how many images they hold, archives once they are read."""
    if params.data.format == "full":
        return _size_of_svhn(params, raw, guessed=True)
    counted = {split: _images_in(path / paths.raw(split).name) for split in _splits(params)}
    images = {split: counted[split] or known.images for split, known in _official(params).items()}
    guessed = not all(counted.values())
    return needs.Experiment(images, _image_size(params), raw, params.data.validation, guessed=guessed)


def _size_of_own(params: Params, path: Path) -> needs.Experiment:
    data, pictures = params.data, _files_below(path)
    image_size, test = data.size or needs.IMAGE_SIZE, int(pictures * data.test)
    images = {"train": pictures - test, "test": test}
    if not pictures:
        images = {split: known.images for split, known in _official(params).items()}
    # Own images are kept as pixels from the first stage on.
    raw = sum(images.values()) * (needs.CHANNELS * image_size**2 + 1)
    return needs.Experiment(images, image_size, raw, data.validation, guessed=not pictures)


def _images_in(path: Path) -> int | None:
    """The images of a .mat file, from its header."""
    if not path.is_file():
        return None
    from scipy.io import whosmat

    try:
        shapes = {name: shape for name, shape, _ in whosmat(str(path))}
    except Exception:  # whatever a damaged file makes of the parser; `convert` names it
        return None
    return int(shapes["X"][-1]) if "X" in shapes else None


def _files_below(folder: Path) -> int:
    """Number of pictures that a folder may hold; 0 for a file."""
    return sum(1 for _ in machine.files(folder)) if folder.is_dir() else 0


def _ask(urls: Sequence[str]) -> list[Answer]:
    """HEAD requests, all at once."""
    with ThreadPoolExecutor(len(urls)) as pool:
        return list(pool.map(_head, urls))


def _head(url: str) -> Answer:
    name = url.rpartition("/")[2]
    try:
        request = urllib.request.Request(url, method="HEAD")
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
            length = answer.headers.get("Content-Length")
            return Answer(name, int(length) if length and length.isdecimal() else None)
    except urllib.error.HTTPError as error:
        if error.code in NO_HEAD:
            return Answer(name, None)
        return Answer(name, None, trouble=f"the server says {error.code} {error.reason}")
    # Also what is no URL at all (ValueError), and a server that speaks no HTTP (HTTPException).
    except Exception as error:
        cause = getattr(error, "reason", error)
        text = getattr(cause, "strerror", None) or one_line(cause)
        return Answer(name, None, trouble=f"no answer ({text})")
