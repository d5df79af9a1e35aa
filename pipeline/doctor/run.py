"""The run of the doctor: measure, decide, show."""

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.common import machine_limits, paths
from pipeline.common.errors import PipelineError, printable
from pipeline.common.progress import console
from pipeline.distributed import ray_folder
from pipeline.doctor import checks, contents, machine, needs, source
from pipeline.doctor.checks import Finding
from pipeline.doctor.speed import SpeedTest
from pipeline.experiment import params as parameters
from pipeline.experiment.params import Params

PACKAGES = ("torch", "ray", "dvc", "h5py", "numpy")
STATUS_COLORS = {"ok": "green", "warning": "yellow", "problem": "bold red"}


def run(seconds: float = 2.0) -> int:
    """Show one screen about this machine and this folder; 1 if there is a problem, else 0.

    `seconds` is how long the engine is measured.

    Raises:
        PipelineError: there is no working directory to look at.
    """
    try:
        Path.cwd()
    except OSError:
        raise PipelineError("the working directory is gone; cd to another") from None
    with console.status("looking around, and timing the engine"):
        findings = examine(seconds)
    show(findings, Console(highlight=False))
    return int(any(finding.status == "problem" for finding in findings))


def examine(seconds: float) -> list[Finding]:
    """Examine this machine and the working directory; findings are in the order of the screen."""
    inside = paths.DVC_YAML.exists()
    params, error = _params(inside)
    answers = [] if error else source.look_for(params)
    size = source.size(params, answers)
    experiment = [checks.parameters(error, size, params.train)] if inside else []
    if not error:  # else the source is just the default one, and no concern of this workspace
        experiment.append(checks.source(params.data.source, answers))
    components, cores = len(paths.components(params.model.channels)), machine_limits.cores()
    test = SpeedTest(params.model, params.train, size.sizes(params.model), seconds, first=True)
    results, trouble = machine.measure(test, min(components, cores))
    memory = machine_limits.memory()
    return [
        *_software(),
        *_place(inside),
        *(contents.examine(None if error else params.data.source) if inside else ()),
        *experiment,
        checks.cores(cores, components),
        checks.memory(memory.total, memory.available, needs.memory(size, params.model)),
        checks.shared_memory(machine.shared_memory(), memory.available, size.training_bytes),
        checks.ray_folder(*ray_folder.look()),
        checks.gpus(results[0].gpus if results else (), machine_limits.gpus_installed()),
        *_disks(needs.disk(size, params.model), inside),
        checks.training_time(results, trouble, params.train, size.fitted),
    ]


def show(findings: Sequence[Finding], console: Console) -> None:
    """A table on a terminal; elsewhere a line each, however long, for grep and for logs."""
    last = checks.summary(findings)
    if not console.is_terminal:
        for finding in findings:
            advice = f" -> {finding.advice}" if finding.advice else ""
            console.out(printable(f"{finding.status:<8} {finding.what:<14} {finding.found}{advice}"))
        console.out(last)
        return
    table = Table.grid(padding=(0, 2))
    for finding in findings:
        colour = STATUS_COLORS[finding.status]
        cell = Text(printable(finding.found))
        if finding.advice:
            cell.append(f"\n{finding.advice}", style=colour)
        table.add_row(Text(finding.status, style=colour), finding.what, cell)
    console.print(table)
    console.print(Text(f"\n{last}", style="bold"))


def _params(inside: bool) -> tuple[Params, str]:
    """The workspace's parameters, or the defaults and why."""
    defaults = parameters.read(machine.default_params())
    if not inside:
        return defaults, ""
    try:
        return parameters.read(), ""
    except PipelineError as error:
        return defaults, str(error).removeprefix(f"{paths.PARAMS}: ")
    except OSError as error:  # a folder, or closed to us
        return defaults, f"cannot be read: {error.strerror}"


def _software() -> list[Finding]:
    lock = machine.HOME / "requirements.txt"
    remedy = f"run `pip install -r {lock}`" if lock.is_file() else "install vaepipe anew"
    python = f"make the environment with a Python {machine.python_wanted()}"
    wanted = machine.wanted(PACKAGES)
    return [
        checks.version("python", platform.python_version(), machine.python_wanted(), python),
        *(checks.version(name, machine.installed(name), wanted[name], remedy) for name in PACKAGES),
    ]


def _place(inside: bool) -> list[Finding]:
    dvc = machine.dvc_folder()
    folder = checks.workspace(
        str(Path.cwd()), has_stages=inside, has_dvc=dvc is not None, writable=os.access(".", os.W_OK)
    )
    if not inside:
        return [folder]
    return [folder, checks.command(machine.command_folder(), str(Path(sys.executable).parent.resolve()))]


def _disks(parts: dict[str, int], inside: bool) -> list[Finding]:
    """The workspace's disk, and that of DVC's cache where it is another."""
    here, outs = Path.cwd(), sum(size for name, size in parts.items() if name != "checkpoints")
    places = (paths.IMAGES.parent, paths.MODELS, paths.RECONSTRUCTIONS.parent, paths.runs())
    there = min(machine.occupied(places), sum(parts.values()))
    folder, kinds = machine.cache(machine.dvc_folder() or here / ".dvc")
    elsewhere = machine.device(folder) != machine.device(here)
    if elsewhere:
        stored = min(machine.occupied([folder]), outs)
        cache = checks.disk(machine.free(folder), {"outs": outs}, stored, f"in {folder}")
        return [
            checks.disk(machine.free(here), parts, there, "DVC's cache is on another disk"),
            Finding(cache.status, "disk of cache", cache.found, cache.advice),
        ]
    if inside and not machine.try_links(kinds):
        copies = parts | {"DVC's cache": outs}
        there += min(machine.occupied([folder]), outs)
        return [checks.disk(machine.free(here), copies, there, "DVC's cache holds copies")]
    return [checks.disk(machine.free(here), parts, there, "DVC's cache only links to them")]
