"""Guard of a command while it runs: it runs once at a time in a workspace, and what it reads stays as it is.

DVC records a stage's parameters, data and code after its command has ended, as they are then. If one of them
was changed meanwhile, the stage has to fail, or dvc.lock and the report tell of a model that was never made.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.common import files, locks, paths
from pipeline.common.errors import PipelineError
from pipeline.experiment import params, places, stage_modules

RUNNING = paths.STATE / "running"  # a lock a command, in the workspace itself
NAMED = 3  # changes that a message names


@dataclass(frozen=True)
class Reads:
    """Inputs of a command, as a stage declares them."""

    params: Mapping[Path, Sequence[str]] = field(default_factory=dict)  # keys or sections, by file
    deps: Sequence[Path] = ()


def stage(name: str) -> AbstractContextManager[None]:
    """Run a stage of dvc.yaml; see `command`. Outside a workspace there is nothing to guard."""
    return command(name, _declared(name)) if paths.PARAMS.exists() else nullcontext()


@contextmanager
def command(name: str, reads: Reads) -> Iterator[None]:
    """Run a command; its block ends in an error where what it reads is not as it was when the block began.

    Raises:
        PipelineError: the same command runs already; or what it read was changed meanwhile; or, under DVC,
            the code is no longer that which DVC has looked at.
    """
    recorded = stage_modules.written(name)
    with locks.locked(RUNNING / name, _refuse(f"`vaepipe {name}` runs in this workspace already, as")):
        for folder in places.FOLDERS:
            with suppress(PipelineError):  # the command itself says what is closed to it
                files.complete(folder)
        values, data, code = _values(reads), _data(reads), stage_modules.checksums(list(recorded))
        if "DVC_STAGE" in os.environ and (edited := _differing(recorded, code)):
            raise PipelineError(
                f"{_named(edited)}: edited since `dvc repro` began, so DVC would record code that does not "
                "run; run `dvc repro` again"
            )
        yield
        try:
            now = _values(reads)
        except PipelineError as error:
            raise PipelineError(
                f"{error}; it was edited while `vaepipe {name}` ran, whose results are of what was there "
                "before; mend it and run the command again"
            ) from None
        changed = [f"{key} was {values.get(key)} and is {now.get(key)}" for key in _differing(values, now)]
        changed += [f"{path} was replaced" for path in _differing(data, _data(reads))]
        changed += [f"{path} was edited" for path in _differing(code, stage_modules.checksums(list(code)))]
        if changed:
            raise PipelineError(
                f"{_named(changed)}, while `vaepipe {name}` ran: its results are of what was there before, "
                "and DVC would record what is there now; run the command again"
            )


def trials(*entries: str) -> Reads:
    """Inputs of studies and searches, also as DVC's; entries are of studies.yaml, such as studies.latent."""
    return Reads(
        {
            paths.PARAMS: ("data.validation", "model", "train"),
            paths.STUDIES_YAML: ("noise", *entries),
        },
        (paths.CHANNELS,),
    )


def check_idle() -> None:
    """Raise while a command runs that has read params.yaml.

    Raises:
        PipelineError: one does; the message names it.
    """
    for name, holder in running().items():
        raise PipelineError(
            f"{paths.PARAMS}: `vaepipe {name}` runs by it, as {holder}; wait for it, or end it, "
            "and run this again"
        )


def running() -> dict[str, str]:
    """The commands that run in this workspace, and who runs each."""
    found = {
        lock.stem: locks.holder(lock.with_suffix(""))
        for lock in files.entries(RUNNING)
        if lock.suffix == ".lock"
    }
    return {name: holder for name, holder in found.items() if holder}


def _refuse(what: str) -> Any:
    def taken(holder: str) -> None:
        raise PipelineError(f"{what} {holder}; wait for it, or end it, and run the command again")

    return taken


def _declared(name: str) -> Reads:
    """Inputs of a stage by dvc.yaml; all parameters where there is no dvc.yaml."""
    if not paths.DVC_YAML.exists():
        return Reads({paths.PARAMS: [""]})
    entry = (params.load(paths.DVC_YAML).get("stages") or {}).get(name) or {}
    keys: dict[Path, list[str]] = {}
    for listed in entry.get("params", []):
        for file, names in listed.items() if isinstance(listed, dict) else [(paths.PARAMS, [listed])]:
            keys.setdefault(Path(file), []).extend(names or [""])
    deps = [Path(dep) for dep in entry.get("deps", [])]
    return Reads(keys, [dep for dep in deps if paths.MODULES not in dep.parents])


def _values(reads: Reads) -> dict[str, Any]:
    """Parameters by path, such as model.latent; a file that is not there has none."""
    found: dict[str, Any] = {}
    for file, keys in reads.params.items():
        if file.exists():
            leaves = dict(_leaves(params.load(file), ""))
            found |= {
                path: value
                for path, value in leaves.items()
                if any(not key or path == key or path.startswith(f"{key}.") for key in keys)
            }
    return found


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _data(reads: Reads) -> dict[Path, object]:
    """Size and time of change of every file; not what is in it, which would take as long as the stage."""
    found: dict[Path, object] = {}
    for path in (path for dep in reads.deps for path in (dep, *_below(dep))):
        with suppress(OSError):  # the stage itself says what it cannot read
            if path.is_file():
                about = path.stat()
                found[path] = (about.st_size, about.st_mtime_ns)
    return found


def _below(folder: Path) -> Iterator[Path]:
    return (Path(top, name) for top, _, names in os.walk(folder) for name in names)


def _differing(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> list[Any]:
    return [key for key in {**before, **after} if before.get(key) != after.get(key)]


def _named(what: Sequence[str]) -> str:
    return "; ".join(what[:NAMED]) + (f"; and {len(what) - NAMED} more" if len(what) > NAMED else "")
