"""DVC's own files: it runs nothing where one is damaged, as after a kill in the middle of its writing."""

import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.common import yaml_text
from pipeline.common.errors import PipelineError, one_line
from pipeline.doctor.checks import Finding

LOCK = Path("dvc.lock")
BACK = "bring back an older one (git checkout {0}), or delete it: dvc repro runs the stages again then"


def examine(dvc: Path | None) -> Finding:
    """Finding about the working directory's dvc.lock, and the files in `dvc`, the .dvc folder."""
    what, found = "DVC's files", [*_lock(), *(_config(dvc) if dvc else ()), *(_running(dvc) if dvc else ())]
    if not found:
        return Finding("ok", what, "whole")
    troubles, remedies = zip(*found, strict=True)
    return Finding("problem", what, "; ".join(troubles), "; ".join(dict.fromkeys(remedies)))


def _lock() -> Iterator[tuple[str, str]]:
    """What is wrong with what DVC knows of the stages that ran, and what to do."""
    from dvc.rwlock import Invalid  # of voluptuous, by which DVC checks both files
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    if not LOCK.exists():
        return
    try:
        COMPILED_LOCKFILE_SCHEMA(yaml_text.parse(LOCK.read_bytes(), LOCK) or {})
    except PipelineError as error:
        yield str(error), BACK.format(LOCK)
    except (OSError, Invalid) as error:
        yield f"{LOCK}: {one_line(error)}", BACK.format(LOCK)


def _config(dvc: Path) -> Iterator[tuple[str, str]]:
    from dvc.config import Config, ConfigError

    try:
        Config(dvc_dir=str(dvc))
    except ConfigError as error:
        yield (
            f"{dvc.name}/config: {one_line(error)}",
            "mend it, or take that of a new workspace (vaepipe init DIR)",
        )


def _running(dvc: Path) -> Iterator[tuple[str, str]]:
    """What is wrong with DVC's list of what its processes read and write."""
    from dvc.rwlock import RWLOCK_FILE, SCHEMA, Invalid

    path = dvc / "tmp" / RWLOCK_FILE
    try:
        SCHEMA(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError, Invalid) as error:
        name = f"{dvc.name}/tmp/{RWLOCK_FILE}"
        yield f"{name}: cut off, as by a kill ({one_line(error)})", f"delete {name} while no dvc runs"
