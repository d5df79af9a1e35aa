"""Limits of this process on this machine: cores, memory and GPUs that it may use.

A CPU set (taskset, Slurm), the quotas of this process's control group and of all above it (containers,
systemd, batch systems), and what Slurm itself has given it; of control groups both versions are read.
"""

import os
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

PROC = Path("/proc/self")
NVIDIA = Path("/proc/driver/nvidia/gpus")  # a folder for each GPU
MEGABYTE = 1024**2  # Slurm's
# Of control groups: the file of the limit, that of what is used, and what memory.stat calls the page cache.
MEMORY_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
MEMORY_V2 = ("memory.max", "memory.current", "inactive_file")


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    total: int
    available: int
    limited: bool  # less than the machine has


def cores(proc: Path = PROC, environment: Mapping[str, str] = os.environ) -> int:
    """CPU cores, at least 1; of a quota of 2.5 cores 2."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [float(count), *_quotas(proc)]
    if allotted := _number(environment.get("SLURM_CPUS_ON_NODE")):
        limits.append(float(allotted))
    return max(1, int(min(limits)))


def memory(proc: Path = PROC, environment: Mapping[str, str] = os.environ) -> Memory:
    """Memory in all, and available; what the page cache would give back counts as available."""
    machine = psutil.virtual_memory()
    total, available = machine.total, machine.available
    for folder, v2 in _groups("memory", proc):
        limit, used, cache = MEMORY_V2 if v2 else MEMORY_V1
        most, now = _number(_text(folder / limit)), _number(_text(folder / used))
        if most is None or now is None:
            continue
        held = now - min(now, _field(_text(folder / "memory.stat"), cache))
        total, available = min(total, most), min(available, max(0, most - held))
    if allotted := _number(environment.get("SLURM_MEM_PER_NODE")):
        total, available = min(total, allotted * MEGABYTE), min(available, allotted * MEGABYTE)
    return Memory(total, available, total < machine.total)


def processes(proc: Path = PROC) -> tuple[int, int | None]:
    """Processes and threads that run, and how many may, where this user or control group has a limit."""
    limits: list[tuple[int, int]] = []
    for folder, _ in _groups("pids", proc):
        most, now = _number(_text(folder / "pids.max")), _number(_text(folder / "pids.current"))
        if most is not None and now is not None:
            limits.append((now, most))
    most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    if most != resource.RLIM_INFINITY and os.getuid():  # root has none
        limits.append((_threads(os.getuid()), most))
    return min(limits, key=lambda limit: limit[1] - limit[0], default=(0, None))


def _threads(user: int) -> int:
    """Threads of all processes of a user."""
    count = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().real == user:
                count += process.num_threads()
    return count


def gpus() -> int:
    """GPUs as torch sees them: of those that CUDA_VISIBLE_DEVICES leaves."""
    import torch

    return torch.cuda.device_count()


def gpus_installed(driver: Path = NVIDIA, environment: Mapping[str, str] = os.environ) -> int:
    """GPUs that NVIDIA's driver knows, of those that CUDA_VISIBLE_DEVICES leaves; torch may know fewer."""
    installed = len(list(driver.iterdir())) if driver.is_dir() else 0
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return installed
    named = [name.strip() for name in visible.split(",")]
    # CUDA reads it as far as the first name that is none.
    return min(installed, next((at for at, name in enumerate(named) if name in ("", "-1")), len(named)))


def share_threads() -> None:
    """Let torch compute on no more threads than there are cores: it knows CPU sets, but no quotas."""
    import torch

    if torch.get_num_threads() > cores():
        torch.set_num_threads(cores())


def _quotas(proc: Path) -> Iterator[float]:
    """Cores, of each control group that has a limit."""
    for folder, v2 in _groups("cpu", proc):
        if v2:
            quota, _, period = _text(folder / "cpu.max").partition(" ")
        else:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        most, each = _number(quota), _number(period)
        if most and each:
            yield most / each


def _groups(controller: str, proc: Path) -> Iterator[tuple[Path, bool]]:
    """This process's control group and those above it: their folders, and whether they are of version 2."""
    paths = {}  # by controller; version 2 has one for all, by the empty name
    for line in _text(proc / "cgroup").splitlines():
        _, names, path = line.split(":", 2)
        paths.update(dict.fromkeys(names.split(","), path))
    for line in _text(proc / "mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        v2 = kind == "cgroup2"
        serves = v2 or (kind == "cgroup" and controller in options.split(" ")[-1].split(","))
        name = "" if v2 else controller
        if name not in paths or not serves:
            continue
        root, mounted = before.split(" ")[3:5]
        folder = Path(_unescaped(mounted))
        # In a container the mount may begin at the container's own group; what is above cannot be seen.
        below = os.path.relpath(paths[name], _unescaped(root))
        here = folder if below.startswith("..") else folder / below
        yield here, v2
        while here != folder:
            here = here.parent
            yield here, v2


def _text(path: Path) -> str:
    """Text of a file; empty where there is none, or none that may be read: then it limits nothing."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _number(text: str | None) -> int | None:
    """None for what is no limit: nothing, "max", 0 and -1."""
    return int(text) if text and text.isdecimal() and int(text) else None


def _field(text: str, name: str) -> int:
    """A number of memory.stat, which has a name and a number a line."""
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} ")), 0)


def _unescaped(path: str) -> str:
    return path.replace("\\040", " ")
