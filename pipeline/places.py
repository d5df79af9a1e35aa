"""The places that stages write to, and what of a user's must not be in them.

DVC removes a stage's outs before it runs the stage, whatever is in them, and a stage replaces its folders as
a whole. So what nobody here wrote is looked for first, and refused.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from pipeline import files, layout
from pipeline.errors import PipelineError, shown

NAMED = 3  # files that a message names

# Folders that are outs, and the names of what stages write into them.
FOLDERS: Mapping[Path, frozenset[str]] = {
    layout.MODULES: frozenset({"*.json"}),
    layout.RAW: frozenset(
        path.name
        for path in (
            layout.OWN,
            layout.SUMS,
            *(f(split) for f in (layout.raw, layout.archive) for split in layout.SPLITS),
        )
    ),
    layout.CHANNELS: frozenset(layout.channel(colour).name for colour in layout.COLOURS),
    layout.JUDGE: frozenset({layout.CLASSIFIER.name, layout.NO_CLASSIFIER.name}),
    layout.MODELS: frozenset(layout.model(name).name for name in (*layout.COLOURS, layout.JOINT)),
    layout.RECONSTRUCTIONS.parent: frozenset({layout.RECONSTRUCTIONS.name}),
    layout.REPORT.parent: frozenset({layout.REPORT.name}),
}
# Outs that are files, and folders that no stage replaces, but that are no place for a source either.
OTHERS = (
    layout.IMAGES,
    layout.TRAIN_METRICS,
    layout.TEST_METRICS,
    layout.SUMMARY,
    layout.HISTORY,
    layout.STUDIES,
    layout.STATE,
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
        for there in {place.resolve(), (layout.home() / place).resolve()}:
            if real == there or there in real.parents or real in there.parents:
                what = "is" if real == there else "is in" if there in real.parents else "holds"
                raise PipelineError(
                    f"{layout.PARAMS}: data.source is {shown(source)}, which {what} {place}, where vaepipe "
                    "writes; move your images to a folder of their own and name that"
                )


def check_folders(folders: Iterable[Path] = FOLDERS) -> None:
    """Raise where one of the folders holds what no stage writes."""
    for folder in folders:
        if foreign := others(folder):
            raise _refusal(folder, foreign)


def others(folder: Path) -> list[Path]:
    """What is in a folder of FOLDERS, at any depth, and not by a stage's name; sorted."""
    if not folder.is_dir():
        return []
    names = FOLDERS[folder]
    return sorted(
        path
        for path in folder.rglob("*")
        if not any(fnmatch(path.name, pattern) for pattern in LITTER)
        and (path.is_dir() or path.parent != folder or not any(fnmatch(path.name, name) for name in names))
    )


def check_sums() -> None:
    """Raise where data/raw holds a file that is not, byte for byte, one that `download` left there."""
    check_folders([layout.RAW])
    sums = _sums()
    strange = [
        path
        for path in sorted(layout.RAW.glob("*"))
        if path != layout.SUMS
        and not any(fnmatch(path.name, pattern) for pattern in LITTER)
        and sums.get(path.name) != files.md5(path)
    ]
    if strange:
        raise _refusal(layout.RAW, strange)


def write_sums(folder: Path) -> None:
    """Leave the checksums of a new data/raw's files in it."""
    lines = [f"{files.md5(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    files.write_text(folder / layout.SUMS.name, "".join(lines))


def _sums() -> dict[str, str]:
    if not layout.SUMS.is_file():
        return {}
    lines = layout.SUMS.read_text(encoding="utf-8", errors="replace").splitlines()
    return {name: md5 for md5, _, name in (line.partition("  ") for line in lines)}


def _refusal(folder: Path, foreign: list[Path]) -> PipelineError:
    named = ", ".join(shown(path) for path in foreign[:NAMED]) + (", ..." if len(foreign) > NAMED else "")
    return PipelineError(
        f"{folder}: holds {named}, which vaepipe did not write as it is now and would remove; move it "
        "elsewhere, or delete it"
    )
