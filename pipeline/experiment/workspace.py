"""Workspaces: folders in which `dvc repro` runs. They hold no code: they can be committed, cloned, moved."""

import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pipeline
from pipeline.common import files, paths
from pipeline.common.errors import PipelineError, printable
from pipeline.experiment import params

# What a workspace is made of, and what the checkout itself is: DVC's stages, parameters and settings.
TEMPLATE = (
    "dvc.yaml",
    "params.yaml",
    "studies.yaml",
    ".dvcignore",
    ".dvc/.gitignore",
    ".dvc/config",
    ".dvc/plots/components.json",
)
STUDIES_STAGES = paths.STUDIES / "dvc.yaml"

# DVC's outs, and what survives them.
IGNORED = (
    "/modules",
    "/data",
    "/classifier",
    "/models",
    "/reconstructions",
    "/report",
    "/studies/index.html",
    "/studies/*/results.csv",
    "/studies/*/summary.json",
    "/studies/*/plot.svg",
    "/studies/*/pictures.png",
    "/.vaepipe",
    "/dvc_plots",
)

# A minute on two cores, and enough to see the models learn.
DEMO: params.Changes = {
    "data": {"source": params.SYNTHETIC},
    "synthetic": {"train": 8000, "test": 2000},
    "train": {"epochs": 12},
}


def create(folder: Path, changes: params.Changes | None = None, *, git: bool = True) -> None:
    """Make a workspace with the default parameters, some of them changed.

    Where no git repository is around it, it becomes one, since DVC's experiments and comparisons need one;
    with `git` false, or where there is no git, DVC is told to do without.

    Raises:
        PipelineError: the folder holds something already, or cannot be made.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise PipelineError(f"{folder}: not an empty folder; name another, or empty it")
    except OSError as error:
        raise files.unreadable(folder, error) from None
    source = template()
    with files.atomic_directory(folder, replace=False) as part:
        for name in TEMPLATE:
            _copy(source / name, part / name)
        files.write_text(part / ".gitignore", "".join(f"{line}\n" for line in IGNORED))
        if changes:
            params.change(part / paths.PARAMS, changes)
    if not git or not (in_git(folder) or _git_init(folder)):
        files.write_text(folder / ".dvc/config.local", "[core]\n    no_scm = true\n")


def is_workspace(folder: Path) -> bool:
    """Whether its dvc.yaml is one of vaepipe's."""
    if not (folder / paths.DVC_YAML).is_file():
        return False
    declared = params.load(folder / paths.DVC_YAML)
    stages = declared.get("stages") if isinstance(declared, dict) else None
    download = stages.get("download") if isinstance(stages, dict) else None
    return isinstance(download, dict) and str(download.get("cmd")).startswith("vaepipe ")


def template() -> Path:
    """The checkout's root, or the copy that an installed package carries."""
    package = Path(str(pipeline.__file__)).resolve().parent
    packed = package / "template"
    return packed if packed.exists() else package.parent


def in_git(folder: Path) -> bool:
    """Whether a git repository is there or around it that does not ignore it, which DVC does not work in."""
    try:
        ignored = ["git", "-C", str(folder), "check-ignore", "--quiet", "."]
        return subprocess.run(ignored, capture_output=True, check=False).returncode == 1
    except OSError:
        return False


def demo(folder: Path) -> Path:
    """Run the pipeline on generated house numbers in `folder`; return the report's path.

    A workspace that an earlier demo left is gone on with.

    Raises:
        PipelineError: the folder holds something else, or the pipeline failed.
    """
    if not (folder / paths.DVC_YAML).exists():
        # Without git: in a checkout the demo is ignored, and DVC refuses to work on what git ignores.
        create(folder, DEMO, git=False)
    elif not is_workspace(folder) or params.read(folder / paths.PARAMS).data.source != params.SYNTHETIC:
        raise PipelineError(f"{printable(folder)}: holds something else than a demo; name another folder")
    if run_dvc(["repro"], folder):
        raise PipelineError(f"{folder}: dvc repro failed (see above); run `vaepipe demo` again to go on")
    return folder / paths.REPORT


def run_dvc(arguments: Sequence[str], folder: Path, **variables: str) -> int:
    """Run DVC in a folder, on this terminal; return its status."""
    # DVC calls `vaepipe` by name: let it be the one that this Python belongs to.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = os.environ | {"PATH": path} | variables
    try:
        getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as containers are given; DVC wants some name
        environment["LOGNAME"] = str(os.getuid())
    return _run([sys.executable, "-m", "dvc", *arguments], folder, environment)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _git_init(folder: Path) -> bool:
    try:
        done = subprocess.run(["git", "init", "--quiet", folder], capture_output=True, check=False)
        return done.returncode == 0
    except OSError:  # there is no git
        return False


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> int:
    """Run a command that shares the terminal; Ctrl-C reaches it too, so it is left to end by itself."""
    interrupted = False
    with subprocess.Popen(command, cwd=folder, env=environment) as process:
        while True:
            try:
                status = process.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
    if interrupted:
        raise KeyboardInterrupt
    return status
