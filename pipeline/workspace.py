"""Workspaces: folders in which `dvc repro` runs."""

import configparser
import getpass
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pipeline
import vae
from pipeline import files, layout, params
from pipeline.errors import PipelineError

# What a workspace is made of, and what the checkout itself is: DVC's stages, parameters and settings.
TEMPLATE = (
    "dvc.yaml",
    "params.yaml",
    "studies.yaml",
    "studies/dvc.yaml",
    ".dvcignore",
    ".dvc/config",
    ".dvc/plots/components.json",
)

# DVC's outs, and what survives them.
IGNORED = [
    "/data",
    "/judge",
    "/models",
    "/reconstructions",
    "/report",
    "/studies/index.html",
    "/studies/*/results.csv",
    "/studies/*/summary.json",
    "/studies/*/plot.svg",
    "/studies/*/pictures.png",
    "/.vaepipe",
]

# A minute on two cores, and enough to see the models learn.
DEMO: params.Changes = {
    "data": {"source": params.SYNTHETIC},
    "synthetic": {"train": 8000, "test": 2000},
    "train": {"epochs": 12},
}


def create(folder: Path, changes: params.Changes | None = None, *, git: bool | None = None) -> None:
    """Make a workspace with the default parameters, some of them changed.

    `git` says whether DVC may look for a git repository around it; by default, whether there is one.

    Raises:
        PipelineError: the folder holds something already, or cannot be made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PipelineError(f"{folder}: not an empty folder; name another, or empty it")
    source = _template()
    with files.atomic_directory(folder) as part:
        for name in TEMPLATE:
            target = part / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, target)
        # DVC watches the modules that a stage uses, through these links.
        for package in (vae, pipeline):
            home = Path(str(package.__file__)).resolve().parent
            (part / home.name).symlink_to(home, target_is_directory=True)
        (part / ".gitignore").write_text("\n".join(IGNORED) + "\n")
        if not (_in_git(folder) if git is None else git):
            _without_git(part / ".dvc/config")
        if changes:
            params.change(part / layout.PARAMS, changes)


def demo(folder: Path) -> Path:
    """Run the pipeline on generated house numbers in `folder`; return the report's path.

    A workspace that an earlier demo left is gone on with.
    """
    if not (folder / layout.DVC_YAML).exists():
        # Without git: in a checkout the demo is ignored, and DVC refuses to work on what git ignores.
        create(folder, DEMO, git=False)
    # DVC calls `vaepipe` by name: let it be the one that this Python belongs to.
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    }
    try:
        getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as containers are given; DVC wants some name
        environment["LOGNAME"] = str(os.getuid())
    if _run([sys.executable, "-m", "dvc", "repro"], folder, environment):
        raise PipelineError(f"{folder}: dvc repro failed (see above); run `vaepipe demo` again to go on")
    return folder / layout.REPORT


def _template() -> Path:
    """The checkout's root, or the copy that an installed package carries."""
    package = Path(str(pipeline.__file__)).resolve().parent
    packed = package / "template"
    return packed if packed.exists() else package.parent


def _without_git(config: Path) -> None:
    parser = configparser.ConfigParser()
    parser.read(config)
    parser["core"]["no_scm"] = "true"
    with config.open("w", encoding="utf-8") as file:
        parser.write(file)


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


def _in_git(folder: Path) -> bool:
    return any((parent / ".git").exists() for parent in folder.resolve().parents)
