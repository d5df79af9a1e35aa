"""Workspaces for tests: small parameters, and the commands that run in them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SMALL: dict[str, dict[str, Any]] = {
    "data": {"source": "synthetic", "validation": 0.1},
    "synthetic": {"train": 600, "test": 120},
    "model": {"latent": 5, "hidden": [40, 30]},
    "train": {"epochs": 3, "batch_size": 50},
    "merge": {"images": 20},
}


def dvc(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=cwd,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def git(folder: Path, *arguments: str) -> str:
    author = {f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=os.environ | author, capture_output=True, text=True, check=True).stdout
