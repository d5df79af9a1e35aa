"""studies/dvc.yaml: a stage for each study that DVC was asked to run.

DVC reads every dvc.yaml that it finds, and a stage that never ran makes its other commands fail or complain.
So a study becomes a stage when it is run as one, and stays one only if it came to an end.
"""

import shlex
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError
from pipeline.experiment import guard, params, workspace
from pipeline.trials.studies_yaml import StudiesFile

FILE = workspace.STUDIES_STAGES
LOCK = FILE.with_suffix(".lock")
HEAD = "# The studies that DVC runs; `vaepipe study NAME --dvc` adds one.\n"


def run(names: Sequence[str], found: StudiesFile, **variables: str) -> None:
    """Run studies as DVC's stages, in an environment with these variables.

    Raises:
        PipelineError: one of them did not end well; if it never did, it is no stage.
    """
    before = _stages(FILE)
    _write([*before, *names], found)
    try:
        status = workspace.run_dvc(["repro", *(f"{FILE}:{name}" for name in names)], Path(), **variables)
    finally:
        ran = _stages(LOCK)
        _write([name for name in _stages(FILE) if name in before or name in ran], found)
    if status:
        raise PipelineError("dvc repro failed (see above); the same command goes on from what is finished")


def stage(name: str, noise: str) -> dict[str, Any]:
    """A study's stage: what it reads, and what it writes."""
    folder = paths.study(name).as_posix()
    reads = guard.trials(*(f"studies.{study}" for study in dict.fromkeys((name, noise))))
    return {
        "wdir": "..",
        "desc": "Train every setting of a study once, and compare them",
        "cmd": f"vaepipe study {shlex.quote(name)}",
        "params": [
            *reads.params[paths.PARAMS],
            {str(paths.STUDIES_YAML): list(reads.params[paths.STUDIES_YAML])},
        ],
        "deps": [*(path.as_posix() for path in reads.deps), paths.modules("study").as_posix()],
        "outs": [
            f"{folder}/results.csv",
            f"{folder}/summary.json",
            # No metrics of DVC's, which shows those of all stages side by side, in a row.
            {f"{folder}/metrics.json": {"cache": False}},
        ],
        "plots": [f"{folder}/plot.svg", f"{folder}/pictures.png"],
    }


def _stages(path: Path) -> list[str]:
    """The names in a dvc.yaml or a dvc.lock."""
    found = params.load(path) if path.exists() else None
    return list(found["stages"]) if isinstance(found, dict) and found.get("stages") else []


def _write(names: Iterable[str], found: StudiesFile) -> None:
    """Write stages of those studies that studies.yaml declares, in its order; no file where none is."""
    stages = {name: stage(name, found.noise.name) for name in found.studies if name in set(names)}
    if not stages:
        FILE.unlink(missing_ok=True)
        return
    text = StringIO()
    YAML().dump({"stages": stages}, text)
    files.write_text(FILE, HEAD + text.getvalue())
