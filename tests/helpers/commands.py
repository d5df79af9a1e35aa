"""Runs commands one after another, each in a fork of a process that has loaded all that they need.

    python -m tests.helpers.commands JOBS.json    # in the folder where they run; prints what came of them

A job has `arguments`; perhaps `closed`, a file or folder that nobody may read meanwhile, or `read_only`,
which takes away the right to write in all folders below.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers import forks


@contextmanager
def modes(paths: list[Path], taken: int) -> Iterator[None]:
    """Paths without these permissions."""
    before = {path: path.lstat().st_mode for path in paths}
    try:
        for path in reversed(paths):
            path.chmod(before[path] & ~taken)
        yield
    finally:
        for path in paths:
            path.chmod(before[path])


def folders() -> list[Path]:
    return [Path(), *(p for p in Path().rglob("*") if p.is_dir() and not p.is_symlink())]


def done(job: dict[str, Any]) -> dict[str, Any]:
    closed = [Path(job["closed"])] if "closed" in job else []
    before = tree()
    with modes(closed, 0o777), modes(folders() if job.get("read_only") else [], 0o222):
        ended = forks.run(cli.main, job["arguments"])
    wrote = sorted(tree() ^ before)
    return {"status": ended.status, "out": ended.out, "err": ended.err, "wrote": wrote}


def tree() -> set[tuple[str, int]]:
    """All that is there, and when it was written."""
    return {(str(path), path.lstat().st_mtime_ns) for path in Path().rglob("*")}


if __name__ == "__main__":
    import torch

    from pipeline.cli import main as cli
    from pipeline.inference import codec, inputs, pictures  # noqa: F401
    from pipeline.report import studies_page  # noqa: F401
    from pipeline.runs import listing  # noqa: F401
    from pipeline.stages import classifier, convert, download, merge, split, train  # noqa: F401

    torch.set_num_threads(1)  # threads of this process would not be there in a fork
    with open(sys.argv[1]) as file:  # noqa: PTH123
        jobs = json.load(file)
    json.dump([done(job) for job in jobs], sys.stdout)
