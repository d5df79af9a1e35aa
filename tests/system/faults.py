"""Every call of every command fails once: `make faults` counts what comes of it.

    python -m tests.system.faults [--commands convert,merge] [--errors EIO,kill] [--most 20] [--seed 0]

A workspace is made. Then each command runs in copies of it, and in each run one of its calls on files below
the workspace (open, read, write, fsync, rename, mkdir, unlink and others; see `tests/helpers/faults.c`) fails
with one of the errors, once or from then on, or the process is killed there. A run is good if

- it ends with an error of one line, and what it says of lost and kept files is so; or its results are right;
- the same command, run again, ends with the right results, and leaves nothing else.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.helpers.failing_calls import (
    KILL,
    NONE,
    Calls,
    Fault,
    Run,
    contents,
    differences,
    preload,
    run,
    run_with_all_below,
)

ROOT = Path(__file__).parents[2]
ERRORS = ("ENOSPC", "EDQUOT", "EIO", "ESTALE", "EACCES", KILL)


@dataclass(frozen=True)
class Command:
    """A command, and what the workspace lacks before it runs."""

    line: str
    removed: tuple[str, ...] = ()
    once: bool = False  # it refuses to run again where it was successful
    share: float = 1.0  # of the runs that are asked for: less, of what takes long
    on_ray: bool = False  # with processes of its own, whose calls fail too

    @property
    def label(self) -> str:
        return f"{self.line}{'' if self.removed else ' (again)'}{' on Ray' if self.on_ray else ''}"


COMMANDS = (
    Command("prepare", ("modules",)),
    Command("download", ("data/raw",)),
    Command("download"),
    Command("convert", ("data/svhn.h5",)),
    Command("convert"),
    Command("split", ("data/channels",)),
    Command("classifier"),
    Command("train", ("models", "metrics/train.json", "plots")),
    Command("train"),
    Command(
        "train",
        ("models", "metrics/train.json", "plots", ".vaepipe/runs"),
        share=0.25,
        on_ray=True,
    ),
    Command("merge", ("reconstructions", "metrics/test.json", "metrics/summary.json", "report"), share=0.2),
    Command("preset apply paper"),
    Command("encode data/svhn.h5 --digit 3 -o z.h5 --force"),
    Command("decode kept.h5 -o back", once=True),
    Command("sample -n 4 -o x.png"),
    Command("reconstruct data/svhn.h5 -n 4 --digit 3 -o x.png"),
    Command("runs"),
    Command("runs --prune --yes"),
    Command("studies"),
    Command("init new", once=True),
)


@dataclass
class Tally:
    """How many runs of a command came out how."""

    counts: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)


def copies(workspace: Path, command: Command, top: Path) -> Generator[Path, None, None]:
    """Copies of the workspace, without what the command is to make."""
    while True:
        with tempfile.TemporaryDirectory(dir=top) as name:
            folder = Path(name) / "w"
            shutil.copytree(workspace, folder, symlinks=True)
            for name in command.removed:
                shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
            yield folder


def verdict(
    command: Command,
    ran: Run,
    error: str,
    before: dict[str, bytes | None],
    after: dict[str, bytes | None],
    right: dict[str, bytes | None],
) -> str:
    """How a run came out: a word; or what is bad about it, in words that begin with BAD."""
    lines = [line for line in ran.said.splitlines() if line.strip()]
    if ran.status == -signal.SIGALRM:
        return "BAD hangs"
    if ran.megabytes > 1024:
        return f"BAD takes {ran.megabytes} MiB"
    if ran.status == -signal.SIGKILL:
        return "killed" if error == KILL else "BAD died"
    if ran.status == 0:
        # What it could not remove is the next run's to remove.
        left = {name: data for name, data in after.items() if ".part" not in name}
        return f"BAD said nothing, but differs: {found}" if (found := differences(left, right)) else "right"
    errors = [line for line in lines if line.startswith("error: ")]
    if "Traceback" in ran.said or len(errors) != 1 or lines[-1] != errors[0] or ran.status != 1:
        return f"BAD status {ran.status}, said {ran.said[-600:]!r}"
    if "nothing was changed" in errors[0] and (found := differences(litterless(after), litterless(before))):
        return f"BAD not so, changed are {found}: {errors[0]}"
    if errors[0].endswith("it is as it was"):
        name = errors[0].removeprefix("error: ").partition(":")[0]
        if found := differences(*(litterless(of(name, each)) for each in (after, before))):
            return f"BAD not so, changed are {found}: {errors[0]}"
    return "one line"


def of(name: str, found: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """What is at a path, or below it."""
    return {path: data for path, data in found.items() if path == name or path.startswith(f"{name}/")}


def litterless(found: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """Without what the next run removes, folders that were made on the way, and the state."""
    return {
        name: data
        for name, data in found.items()
        if not name.endswith(".part") and data is not None and not name.startswith(".vaepipe/")
    }


def run_command(calls: Calls, command: Command, folder: Path, fault: Fault = NONE) -> Run:
    if command.on_ray:
        arguments = [sys.executable, "-m", "pipeline.cli", *command.line.split()]
        return run_with_all_below(arguments, folder, fault)
    return run(cli.main, calls, command.line, folder, fault)


def check(
    calls: Calls,
    workspace: Path,
    command: Command,
    trials: Callable[[int, float], Iterator[Fault]],
    top: Path,
) -> Tally:
    """Let a command's calls fail, as `trials` says of their number."""
    tally = Tally()
    folders = copies(workspace, command, top)
    folder = next(folders)
    whole = run_command(calls, command, folder)
    assert whole.status == 0, (command, whole)
    right = contents(folder)
    for at, error, onwards in trials(whole.calls, command.share):
        folder = next(folders)
        before = contents(folder)
        ran = run_command(calls, command, folder, (at, error, onwards))
        after = contents(folder)
        found = verdict(command, ran, error, before, after, right)
        # Once it has worked, there is nothing to mend.
        if not found.startswith("BAD") and not (command.once and not differences(after, right)):
            again = run_command(calls, command, folder)
            if again.status != 0:
                found = f"BAD next run: {again.said[-500:]!r}"
            elif wrong := differences(contents(folder), right):
                found = f"BAD next run differs: {wrong}"
        tally.counts[found.split()[0] if found.startswith("BAD") else found] += 1
        if found.startswith("BAD"):
            tally.bad.append(
                f"{command.line} ({error}{' onwards' if onwards else ''} at {at}: {ran.failed}): {found}"
            )
    folders.close()
    return tally


def make_workspace(calls: Calls, folder: Path) -> None:
    """A small workspace of a conditional model, all of whose stages have run."""
    workspaces.create(folder, SMALL)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("LD_PRELOAD")
    for line in ("prepare", "download", "convert", "split", "classifier"):
        done = run(cli.main, calls, line, folder)
        assert done.status == 0, done.said
    # With real Ray; afterwards the run is there, and needs none.
    subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "train"],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
    )
    for line in ("merge", "encode data/svhn.h5 --digit 3 -o kept.h5"):
        done = run(cli.main, calls, line, folder)
        assert done.status == 0, done.said


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--commands", default="", help="such as convert,merge; default: all")
    options.add_argument("--errors", default=",".join(ERRORS))
    options.add_argument("--most", type=int, default=1 << 30, help="runs a command, drawn at random")
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    draw, calls = random.Random(asked.seed), Calls()
    calls.disarm()
    wanted = [name for name in asked.commands.split(",") if name]

    def trials(count: int, share: float) -> Iterator[Fault]:
        every = [
            (at, error, onwards)
            for at in range(1, count + 1)
            for error in asked.errors.split(",")
            for onwards in ((False,) if error == KILL else (False, True))
        ]
        most = max(1, round(asked.most * share))
        return iter(every if len(every) <= most else draw.sample(every, most))

    found: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory() as name:
        top = Path(name).resolve()
        make_workspace(calls, top / "w")
        for command in COMMANDS:
            if not wanted or any(command.label.startswith(start) for start in wanted):
                found[command.label] = tally = check(calls, top / "w", command, trials, top)
                print(
                    f"{command.label}: {dict(tally.counts)}",
                    *tally.bad,
                    sep="\n  ",
                    file=sys.stderr,
                    flush=True,
                )
    json.dump({name: {"counts": t.counts, "bad": t.bad} for name, t in found.items()}, sys.stdout, indent=1)


if __name__ == "__main__":
    if "LD_PRELOAD" not in os.environ:
        environment = os.environ | preload() | {"PYTHONPATH": str(ROOT)}
        try:
            again = [sys.executable, "-m", "tests.system.faults", *sys.argv[1:]]
            sys.exit(subprocess.run(again, env=environment).returncode)
        finally:
            shutil.rmtree(Path(environment["LD_PRELOAD"]).parent)
    import torch

    from pipeline.cli import main as cli
    from pipeline.experiment import params
    from pipeline.experiment import workspace as workspaces
    from pipeline.inference import codec, inputs, pictures  # noqa: F401
    from pipeline.report import studies_page  # noqa: F401
    from pipeline.runs import listing  # noqa: F401
    from pipeline.stages import classifier, convert, download, merge, split, train  # noqa: F401
    from vae import classifier as reader

    SMALL: params.Changes = {
        "data": {"source": "synthetic", "validation": 0.1},
        "synthetic": {"train": 120, "test": 30},
        "model": {"channels": "joint", "conditional": True, "latent": 3, "hidden": [12]},
        "train": {"epochs": 2, "batch_size": 20},
        "merge": {"images": 5},
    }
    reader.STEPS = 3
    torch.set_num_threads(1)  # threads of this process would not be there in a fork
    main()
