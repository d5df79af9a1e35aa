"""Repair of a workspace: `vaepipe init DIR` where there is one already."""

import configparser
import itertools
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.common import files, paths
from pipeline.experiment import params, workspace
from pipeline.experiment.stage_modules import PACKAGES

REPLACED = paths.STATE / "replaced"  # what was mended away, a folder each time


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong."""

    what: str  # in one line
    mend: Callable[[], None]
    stops: bool = True  # `dvc repro` cannot work, or does what it should not, until it is mended


def mend(folder: Path) -> list[str]:
    """Mend what is wrong with a workspace; return what was. What a user may have made is kept in REPLACED."""
    mended = []
    for fault in faults(folder):
        fault.mend()
        mended.append(fault.what)
    return mended


def faults(folder: Path) -> Iterator[Fault]:
    """Yield what is wrong, found as it is asked for: nothing is changed unless `mend` is called."""
    aside = _Aside(folder)
    if not is_checkout(folder):
        for name in PACKAGES:
            if (place := folder / name).is_symlink():
                yield Fault(f"{name} links to code elsewhere, of which a clone has nothing", place.unlink)
            elif place.is_dir():
                yield Fault(f"{name} is a copy of code that does not run", partial(aside.move, place))
    for name in workspace.TEMPLATE:
        if not (folder / name).exists():
            yield Fault(f"{name} is not there", partial(_take, folder, name))
    if different := _different(folder):
        what = f"dvc.yaml has other stages than this vaepipe: {', '.join(different)}"
        yield Fault(what, partial(_replace, aside, folder, paths.DVC_YAML))
    stages = folder / workspace.STUDIES_STAGES
    if stages.is_file() and "pipeline/" in stages.read_text(encoding="utf-8", errors="replace"):
        yield Fault(f"{workspace.STUDIES_STAGES} is of an earlier vaepipe", partial(aside.move, stages))
    if missing := _not_ignored(folder):
        what = f".gitignore lacks {', '.join(missing)}"
        yield Fault(what, partial(_ignore, folder, missing), stops=False)
    yield from _settings(folder)


def is_checkout(folder: Path) -> bool:
    """Whether it is a checkout of vaepipe, whose packages are its own."""
    return (folder / "pyproject.toml").is_file() and (folder / "vae/model.py").is_file()


def _settings(folder: Path) -> Iterator[Fault]:
    """DVC's: whether it is to do without git."""
    local = folder / ".dvc/config.local"
    set_in = [path for path in (folder / ".dvc/config", local) if _without_git(path)]
    if workspace.in_git(folder):
        for path in set_in:
            what = f"{path.relative_to(folder)} has no_scm, so that DVC does not see the git repository"
            yield Fault(what, partial(_set_without_git, path, False), stops=False)
    elif not set_in:
        what = "there is no git repository, and DVC is not told to do without"
        yield Fault(what, partial(_set_without_git, local, True))


class _Aside:
    """Folder for what this repair takes away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def move(self, path: Path) -> None:
        numbers = (self.folder / REPLACED / str(n) for n in itertools.count(1))
        place = next(folder for folder in numbers if not (folder / path.name).exists())
        place.mkdir(parents=True, exist_ok=True)
        shutil.move(path, place / path.name)


def _different(folder: Path) -> list[str]:
    """Stages that are not as this vaepipe has them; others, and how plots look, are a user's own business."""
    ours, theirs = _stages(workspace.template()), _stages(folder)
    return [name for name, stage in ours.items() if theirs.get(name) != stage]


def _stages(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / paths.DVC_YAML
    declared = params.load(path).get("stages") if path.exists() else {}
    parts = ("cmd", "params", "deps", "outs", "always_changed")
    return {name: {part: stage.get(part) for part in parts} for name, stage in declared.items()}


def _take(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    files.write_text(folder / name, (workspace.template() / name).read_text(encoding="utf-8"))


def _replace(aside: _Aside, folder: Path, name: Path) -> None:
    aside.move(folder / name)
    _take(folder, str(name))


def _not_ignored(folder: Path) -> list[str]:
    path = folder / ".gitignore"
    lines = path.read_text(encoding="utf-8").split() if path.exists() else []
    return [entry for entry in workspace.IGNORED if entry not in lines and f"{entry}/" not in lines]


def _ignore(folder: Path, entries: list[str]) -> None:
    path = folder / ".gitignore"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    newline = "" if text.endswith("\n") or not text else "\n"
    files.write_text(path, text + newline + "".join(f"{entry}\n" for entry in entries))


def _without_git(path: Path) -> bool:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
        return parser.get("core", "no_scm", fallback="false").strip("\"'").lower() == "true"
    except (configparser.Error, UnicodeDecodeError):  # DVC itself names what is wrong there
        return False


def _set_without_git(path: Path, without: bool) -> None:
    """Add or remove one line, so that the others stay as a user wrote them."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    text = re.sub(r"(?m)^[ \t]*no_scm[ \t]*=.*\n?", "", text)
    if without:
        head, core, rest = text.partition("[core]\n")
        text = f"{head}[core]\n    no_scm = true\n{rest}" if core else f"{text}[core]\n    no_scm = true\n"
    files.write_text(path, text)
