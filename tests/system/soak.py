"""Random SIGKILLs over the whole pipeline, each followed by `dvc repro`; `make soak N=100` runs it.

    python tests/system/soak.py 100 [--seed 0]

A reference run is made once. Then, until N kills fell: run `dvc repro` in an empty workspace and kill one of
its processes, or all, at a random moment; run it again and kill again, one to four times in all; then run it
until it succeeds, and compare every out with the reference, byte for byte.
"""

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.common import paths
from pipeline.experiment import params, workspace

SMALL: params.Changes = {
    "data": {"source": "synthetic", "validation": 0.1},
    "synthetic": {"train": 1000, "test": 200},
    "model": {"latent": 5, "hidden": [50, 50]},
    "train": {"epochs": 15, "batch_size": 50},
}
OUTS = (
    paths.RAW,
    paths.IMAGES,
    paths.CHANNELS,
    paths.CLASSIFIER_FOLDER,
    paths.MODELS,
    paths.TRAIN_METRICS,
    paths.TEST_METRICS,
    paths.HISTORY,
    paths.RECONSTRUCTIONS,
    paths.REPORT,
)
PATIENCE = 180  # seconds that a `dvc repro` may take
TRIES = 5  # of `dvc repro` after a kill: an orphan may hold the run for a while


@dataclass(frozen=True)
class Kill:
    """What was killed, and when."""

    target: str
    seconds: float  # after the start
    stage: str


def start(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    """`dvc repro` with a checkpoint every epoch, on two ranks."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "VAEPIPE_CHECKPOINT_SECONDS": "0",
        "VAEPIPE_WORKERS": "2",
    }
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro"], cwd=folder, env=environment, stdout=file, stderr=file
        )


def targets(dvc: psutil.Process) -> dict[str, list[psutil.Process]]:
    """The processes that may be killed now, by kind."""
    found: dict[str, list[psutil.Process]] = {"dvc alone": [dvc]}
    for process in dvc.children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        kind = next((kind for kind, part in PARTS.items() if part in line), None)
        if kind:
            found.setdefault(kind, []).append(process)
    found["everything"] = [process for processes in found.values() for process in processes]
    return found


PARTS = {
    "stage": "bin/vaepipe ",
    "rank": "RayTrainWorker",
    "controller": "TrainController",
    "board": "BoardActor",
    "raylet": "raylet/raylet ",
    "gcs": "gcs/gcs_server ",
}


def strike(dvc: subprocess.Popen[bytes], draw: random.Random, after: float) -> Kill | None:
    """Wait, then SIGKILL one kind of process; None if the run had ended by then."""
    began = time.monotonic()
    while time.monotonic() - began < after:
        if dvc.poll() is not None:
            return None
        time.sleep(0.02)
    try:
        found = targets(psutil.Process(dvc.pid))
        kind = draw.choice(sorted(found))
        victims = found[kind] if kind == "everything" else [draw.choice(found[kind])]
        stage = next((p.cmdline()[-1] for p in found.get("stage", [])), "between stages")
    except psutil.Error:
        return None
    for victim in victims:
        if victim.is_running():
            victim.kill()
    return Kill(kind, round(after, 1), stage)


def digests(folder: Path) -> dict[str, str]:
    """MD5 of every file among the outs."""
    files = [
        f for out in OUTS for f in ([folder / out] if (folder / out).is_file() else (folder / out).iterdir())
    ]
    return {str(f.relative_to(folder)): hashlib.md5(f.read_bytes()).hexdigest() for f in sorted(files)}


def orphans(folder: Path) -> list[psutil.Process]:
    """Stages that a killed `dvc` left running in the workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            if "bin/vaepipe " in " ".join(process.cmdline()) and Path(process.cwd()) == folder:
                found.append(process)
        except psutil.Error:
            continue
    return found


def recover(folder: Path, log: Path) -> bool:
    """Run `dvc repro` until it succeeds. One that an orphan refuses is repeated once the orphan has ended."""
    for _ in range(TRIES):
        if start(folder, log).wait(PATIENCE) == 0:
            return True
        psutil.wait_procs(orphans(folder), PATIENCE)
    return False


def clean(folder: Path) -> None:
    """Leave nothing of the run before, caches included."""
    for name in (
        "modules",
        "data",
        "classifier",
        "models",
        "metrics",
        "plots",
        "reconstructions",
        "report",
        ".vaepipe",
    ):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("cache", "tmp"):
        shutil.rmtree(folder / ".dvc" / name, ignore_errors=True)
    (folder / "dvc.lock").unlink(missing_ok=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="vaepipe-soak-")).resolve() / "workspace"
    workspace.create(folder, SMALL, git=False)
    log = folder.parent / "log"
    began = time.monotonic()
    if start(folder, log).wait(PATIENCE):
        print(f"the reference run failed: {log}")
        return 1
    length = time.monotonic() - began
    reference = digests(folder)
    print(f"reference run: {length:.0f} s, {len(reference)} files; workspace {folder}", flush=True)

    kills: list[Kill] = []
    failures = differences = 0
    while len(kills) < arguments.kills:
        clean(folder)
        chain: list[Kill] = []
        wanted = min(draw.randint(1, 4), arguments.kills - len(kills))
        while len(chain) < wanted:
            dvc = start(folder, log)
            kill = strike(dvc, draw, draw.uniform(0, length))
            dvc.wait(PATIENCE)
            if kill is None:  # it had ended, or an orphan of the kill before refused it
                break
            chain.append(kill)
        if not chain:
            continue
        kills += chain
        recovered = recover(folder, log)
        found = digests(folder)
        different = [name for name, digest in reference.items() if recovered and found.get(name) != digest]
        failures += len(chain) * (not recovered)
        differences += bool(different)
        outcome = "NOT RECOVERED" if not recovered else f"DIFFERENT: {different}" if different else "same"
        shown = ", ".join(f"{kill.target} in {kill.stage} at {kill.seconds} s" for kill in chain)
        print(f"{len(kills):4}  {outcome}  {shown}", flush=True)
    print(f"kills {len(kills)}, recoveries {len(kills) - failures}, differences {differences}")
    for title, counts in (
        ("by stage", Counter(kill.stage for kill in kills)),
        ("by target", Counter(kill.target for kill in kills)),
    ):
        print(f"{title}: " + ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    if failures or differences:
        return 1
    shutil.rmtree(folder.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
