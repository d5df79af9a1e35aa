"""The places that stages write to, and what of a user's must not be in them.

DVC removes a stage's outs before it runs the stage, whatever is in them, and a stage replaces its folders as
a whole. So what nobody here wrote is looked for first, and refused.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError, listed, printable

NAMED = 3  # files that a message names

# Folders that are outs, and the names of what stages write into them.
FOLDERS: Mapping[Path, frozenset[str]] = {
    paths.MODULES: frozenset({"*.json"}),
    paths.RAW: frozenset(
        path.name
        for path in (
            paths.OWN_IMAGES,
            paths.CHECKSUMS,
            *(f(split) for f in (paths.raw, paths.archive) for split in paths.SVHN_SPLITS),
        )
    ),
    paths.CHANNELS: frozenset(paths.channel(colour).name for colour in paths.COLOURS),
    paths.CLASSIFIER_FOLDER: frozenset({paths.CLASSIFIER.name, paths.NO_CLASSIFIER.name}),
    paths.MODELS: frozenset(paths.model(name).name for name in (*paths.COLOURS, paths.JOINT)),
    paths.RECONSTRUCTIONS.parent: frozenset({paths.RECONSTRUCTIONS.name}),
    paths.REPORT.parent: frozenset({paths.REPORT.name}),
}
# Outs that are files, and folders that no stage replaces, but that are no place for a source either.
OTHERS = (
    paths.IMAGES,
    paths.TRAIN_METRICS,
    paths.TEST_METRICS,
    paths.SUMMARY,
    paths.HISTORY,
    paths.STUDIES,
    paths.STATE,
    Path(".dvc"),
)
# What systems and killed processes leave anywhere.
LITTER = (".*.part", ".DS_Store", "Thumbs.db", ".nfs*")


def check_source(source: Path) -> None:
    """Raise where a user's images are in, above or equal to a place that stages write to.

    Links are followed. Of an experiment in a copy of its workspace, the workspace's own places count too.
    """
    real = source.resolve()
    for place in (*FOLDERS, *OTHERS):
        for there in {place.resolve(), (paths.main_workspace() / place).resolve()}:
            if real == there or there in real.parents or real in there.parents:
                what = "is" if real == there else "is in" if there in real.parents else "holds"
                raise PipelineError(
                    f"{paths.PARAMS}: data.source is {printable(source)}, which {what} {place}, where "
                    "vaepipe writes; move your images to a folder of their own and name that"
                )


def check_folders(folders: Iterable[Path] = FOLDERS) -> None:
    """Raise where one of the folders holds what no stage writes."""
    for folder in folders:
        if foreign := others(folder):
            raise _refusal(folder, foreign)


def others(folder: Path) -> list[Path]:
    """Files in a folder of FOLDERS, at any depth, that no stage's file is called like; sorted."""
    if not folder.is_dir():
        return []
    names = FOLDERS[folder]
    return sorted(
        path
        for path in files.below(folder)
        if not any(fnmatch(path.name, pattern) for pattern in LITTER)
        and (path.is_dir() or path.parent != folder or not any(fnmatch(path.name, name) for name in names))
    )


def check_sums() -> None:
    """Raise where data/raw holds a file that is not, byte for byte, one that `download` left there."""
    check_folders([paths.RAW])
    sums = _sums()
    strange = [
        path
        for path in files.entries(paths.RAW)
        if path != paths.CHECKSUMS
        and not any(fnmatch(path.name, pattern) for pattern in LITTER)
        and sums.get(path.name) != files.md5(path)
    ]
    if strange:
        raise _refusal(paths.RAW, strange)


def write_sums(folder: Path) -> None:
    """Leave the checksums of a new data/raw's files in it."""
    lines = [f"{files.md5(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    files.write_text(folder / paths.CHECKSUMS.name, "".join(lines))


def _sums() -> dict[str, str]:
    if not paths.CHECKSUMS.is_file():
        return {}
    lines = paths.CHECKSUMS.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: md5 for md5, _, name in (line.partition("  ") for line in lines)}


def _refusal(folder: Path, foreign: list[Path]) -> PipelineError:
    named = listed(foreign, NAMED)
    return PipelineError(
        f"{folder}: holds {named}, which vaepipe did not write as it is now and would remove; move it "
        "elsewhere, or delete it"
    )
