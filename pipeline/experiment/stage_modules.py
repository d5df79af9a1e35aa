"""Modules that each stage runs, and their checksums: `modules/<stage>.json`, which stages name as deps.

The code is installed, and no part of a workspace: so that DVC sees when it has changed, `vaepipe prepare`,
which `dvc repro` runs first and always, writes its checksums down. What imports what is read from the source.
"""

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pipeline
from pipeline.common import files, paths

ROOT = Path(str(pipeline.__file__)).resolve().parents[1]  # the folder that the packages are in
PACKAGES = ("vae", "pipeline")
# The stages whose code DVC watches, and the module that each of them is.
STAGES: Mapping[str, str] = {
    "download": "pipeline.stages.download",
    "convert": "pipeline.stages.convert",
    "split": "pipeline.stages.split",
    "classifier": "pipeline.stages.classifier",
    "train": "pipeline.stages.train",
    "merge": "pipeline.stages.merge",
    "study": "pipeline.studies.run",
}
# What a package hands out when it is asked for, and from where. It counts for who asks, not for the package.
LAZY = {"vae": {"load": "vae.pretrained"}}
# What modules read besides modules.
PAGES = {
    "pipeline.report.page": ("pipeline/report/page.html", "pipeline/report/style.html"),
    "pipeline.report.studies_page": ("pipeline/report/studies.html", "pipeline/report/style.html"),
}


@cache
def installed() -> dict[str, Path]:
    """Modules of ours by dotted name, packages too, with their files."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """Imports of a module, anywhere in it: ours by full name, others by their top name."""
    found = set()
    for node in ast.walk(ast.parse(installed()[module].read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            handed = LAZY.get(node.module, {})
            inner = {handed.get(alias.name, f"{node.module}.{alias.name}") for alias in node.names}
            found |= {name for name in inner if name in installed()} or {node.module}
    return frozenset(name if name in installed() else name.split(".")[0] for name in found)


def closure(module: str) -> set[str]:
    """The modules of ours that are loaded with a module, itself among them.

    A package loads nothing by itself (see `LAZY`).
    """
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += (
                (imported for imported in imports(name) if imported in installed())
                if name not in LAZY
                else ()
            )
    return reached


def used(stage: str) -> list[str]:
    """The files that a stage runs, by their paths from the packages' folder; packages' own hold no code."""
    loaded = closure(STAGES[stage])
    sources = {installed()[name].relative_to(ROOT).as_posix() for name in loaded}
    pages = {page for name in loaded for page in PAGES.get(name, ())}
    return sorted({path for path in sources if not path.endswith("__init__.py")} | pages)


def checksums(sources: list[str]) -> dict[str, str]:
    """MD5 by path, of the code that is installed; empty of what is not there."""
    return {path: files.md5(ROOT / path) if (ROOT / path).is_file() else "" for path in sources}


def write() -> None:
    """Write modules/, a file a stage."""
    with files.atomic_directory(paths.MODULES) as folder:
        for stage in STAGES:
            files.write_json(folder / paths.modules(stage).name, checksums(used(stage)))


def written(stage: str) -> dict[str, str]:
    """Checksums that were written for a stage; empty where there are none, or none whole."""
    try:
        found = files.parse_json(paths.modules(stage).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
