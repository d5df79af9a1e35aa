"""Every call of every command fails once: `make faults` counts what comes of it.

    python -m tests.system.faults [--commands convert,merge] [--errors EIO,kill] [--most 20] [--seed 0]

A workspace is made. Then each command runs in copies of it, and in each run one of its calls on files below
the workspace (open, read, write, fsync, rename, mkdir, unlink and others; see `tests/helpers/faults.c`) fails
with one of the errors, once or from then on, or the process is killed there. A run is good if

- it ends with an error of one line, and what it says of lost and kept files is so; or its results are right;
- it takes no more than 10 s and 1 GiB; where Ray starts, it never says nothing for longer than 10 s;
- the same command, run again, ends with the right results, and leaves nothing else.

Without `--most` every call fails, with every error once and from then on; with `--onwards-drawn` from then on
with one error alone, which is drawn, in two thirds of the time. Of what runs on real Ray, half a minute each,
as many are drawn as `--on-ray` says.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
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
from tests.helpers.fault_verdicts import BAD, WORDS, Found, hangs, state, verdict

ROOT = Path(__file__).parents[2]
ERRORS = ("ENOSPC", "EDQUOT", "EIO", "ESTALE", "EACCES", KILL)
MEMORY = Path("/dev/shm")  # where copies of the workspace are made the quickest

WIDTH = 60  # of the names of commands

Trials = Callable[[int, bool], Iterator[Fault]]  # of a number of calls, and whether they are on Ray


@dataclass
class Tally:
    """How the runs of a command came out."""

    calls: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)

    def row(self, label: str) -> str:
        """A row of the table."""
        numbers = (self.calls, self.counts.total(), *(self.counts[word] for word in (*WORDS, BAD)))
        return f"{label:<{WIDTH}}" + "".join(f"{number:>9,}" for number in numbers)


HEAD = f"{'':<{WIDTH}}" + "".join(f"{word:>9}" for word in ("calls", "tried", *WORDS, "bad"))


class Trial:
    """A command in copies of a workspace, which has what it is to make, or has it not."""

    def __init__(self, calls: Calls, command: "commands.Command", workspace: Path, top: Path) -> None:
        self.calls, self.command, self.top = calls, command, top
        commands.load(command)
        self.folders = self._copies(workspace)
        folder = next(self.folders)
        self.before = contents(folder)
        self.good = {state(folder)}  # from which the command is known to end well
        whole = self.run(folder)
        assert whole.status == 0, (command, whole)
        self.count, self.quiet, self.right = whole.calls, whole.silence, contents(folder)

    def _copies(self, workspace: Path) -> Generator[Path, None, None]:
        """Copies of the workspace, without what the command is to make; the one before is removed."""
        while True:
            with tempfile.TemporaryDirectory(dir=self.top) as name:
                folder = Path(name) / "w"
                shutil.copytree(workspace, folder, symlinks=True)
                for name in self.command.removed:
                    shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()
                yield folder

    def run(self, folder: Path, fault: Fault = NONE) -> Run:
        """Run the command, one of whose calls fails."""
        if self.command.on_ray:
            # Not `python -m`, which looks for modules in the workspace first.
            arguments = [str(Path(sys.executable).with_name("vaepipe")), *self.command.line.split()]
            return run_with_all_below(arguments, folder, fault)
        return run(cli.main, self.calls, self.command.line, folder, fault)

    def outcome(self, fault: Fault) -> tuple[str, str]:
        """How a run came out, and the next one of the same command; and which call failed."""
        folder = next(self.folders)
        ran = self.run(folder, fault)
        if hangs(ran, self.quiet):
            # Others may have had the cores. What hangs does so each time.
            folder = next(self.folders)
            ran = self.run(folder, fault)
            if slow := hangs(ran, self.quiet):
                return f"{BAD} {slow}", ran.failed
        after = contents(folder)
        found = verdict(ran, fault[1], self.before, after, self.right)
        if not found.startswith(BAD):
            found = self._next_run(folder, after) or found
        return found, ran.failed

    def _next_run(self, folder: Path, after: Found) -> str:
        """What is bad about the next run; that of an equal workspace is known."""
        # Once it has worked, there is nothing to mend.
        if (self.command.once and not differences(after, self.right)) or (
            known := state(folder)
        ) in self.good:
            return ""
        again = self.run(folder)
        if again.status != 0:
            return f"{BAD} next run: {again.said[-500:]!r}"
        if wrong := differences(contents(folder), self.right):
            return f"{BAD} next run differs: {wrong}"
        self.good.add(known)
        return ""


def check(trial: Trial, trials: Trials) -> Tally:
    """Let a command's calls fail, as `trials` says of their number."""
    tally = Tally(trial.count)
    for fault in trials(trial.count, trial.command.on_ray):
        found, failed = trial.outcome(fault)
        tally.counts[BAD if found.startswith(BAD) else found] += 1
        if found.startswith(BAD):
            at, error, onwards = fault
            tally.bad.append(f"{error}{' onwards' if onwards else ''} at {at}: {failed}: {found}")
            print(f"{trial.command.label}: {tally.bad[-1]}", file=sys.stderr, flush=True)
    trial.folders.close()
    return tally


def drawn(errors: list[str], most: int, most_on_ray: int, seed: int, onwards_drawn: bool) -> Trials:
    """What calls are to fail with, all of it or as much as is asked for."""
    draw = random.Random(seed)
    lasting = [error for error in errors if error != KILL]

    def trials(count: int, on_ray: bool) -> Iterator[Fault]:
        calls = range(1, count + 1)
        every = [(at, error, False) for at in calls for error in errors]
        for at in calls if lasting else ():
            every += ((at, error, True) for error in ([draw.choice(lasting)] if onwards_drawn else lasting))
        wanted = most_on_ray if on_ray else most
        return iter(sorted(every) if len(every) <= wanted else draw.sample(every, wanted))

    return trials


def main() -> int:
    """Print the table; 1 where anything is bad."""
    options = argparse.ArgumentParser()
    options.add_argument("--commands", default="", help="such as convert,merge; default: all")
    options.add_argument("--errors", default=",".join(ERRORS))
    options.add_argument("--most", type=int, default=1 << 30, help="runs a command, drawn at random")
    options.add_argument("--on-ray", type=int, default=10, help="the same, of commands on real Ray")
    options.add_argument("--onwards-drawn", action="store_true")
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    on_ray = min(asked.most, asked.on_ray)
    trials = drawn(asked.errors.split(","), asked.most, on_ray, asked.seed, asked.onwards_drawn)
    wanted = tuple(name for name in asked.commands.split(",") if name) or ("",)
    calls, total, began = Calls(), Tally(), time.monotonic()
    calls.disarm()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        top = Path(name).resolve()
        (top / "kept").mkdir()
        commands.hasten(top / "kept")
        commands.make_workspace(cli.main, calls, top / "w")
        print(HEAD, flush=True)
        for command in commands.COMMANDS:
            if command.label.startswith(wanted) and not (command.on_ray and not asked.on_ray):
                tally = check(Trial(calls, command, top / "w", top), trials)
                print(tally.row(command.label), flush=True)
                total.calls += tally.calls
                total.counts += tally.counts
                total.bad += tally.bad
    print(total.row(f"total, in {time.monotonic() - began:.0f} s"), flush=True)
    return int(bool(total.bad))


if __name__ == "__main__":
    if "LD_PRELOAD" not in os.environ:
        environment = os.environ | preload() | {"PYTHONPATH": str(ROOT)}
        try:
            again = [sys.executable, "-m", "tests.system.faults", *sys.argv[1:]]
            sys.exit(subprocess.run(again, env=environment).returncode)
        finally:
            shutil.rmtree(Path(environment["LD_PRELOAD"]).parent)
    from pipeline.cli import main as cli
    from tests.helpers import fault_commands as commands

    sys.exit(main())
