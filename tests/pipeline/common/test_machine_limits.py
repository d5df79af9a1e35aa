"""What a process may use, read from trees like those of Linux; and what torch makes of it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from pipeline.common import machine_limits

MACHINE = psutil.virtual_memory().total
NOTHING: dict[str, str] = {}


def proc(tmp_path: Path, groups: str, *mounts: str) -> Path:
    """A /proc/self with these control groups, mounted as these lines say; TMP is a folder of the test's."""
    folder = tmp_path / "proc"
    folder.mkdir()
    (folder / "cgroup").write_text(groups)
    (folder / "mountinfo").write_text("".join(f"{line}\n".replace("TMP", str(tmp_path)) for line in mounts))
    return folder


def put(tmp_path: Path, **texts: str) -> None:
    """Files of control groups, by paths in which __ stands for /."""
    for name, text in texts.items():
        path = tmp_path / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


V2 = "30 24 0:26 / TMP/cg rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(
    ("inner", "outer", "expected"),
    [
        ("max 100000", "max 100000", 8),
        ("300000 100000", "max 100000", 3),
        ("max 100000", "250000 100000", 2),  # of an ancestor, and rounded down
        ("600000 100000", "400000 100000", 4),
        ("50000 100000", "max 100000", 1),  # half a core is one
        ("", "", 8),
    ],
)
def test_a_quota_counts_of_the_own_group_and_of_all_above(
    tmp_path: Path, inner: str, outer: str, expected: int
) -> None:
    here = proc(tmp_path, "0::/slurm/job_7\n", V2)
    put(tmp_path, cg__slurm__job_7__cpuDOTmax=inner, cg__slurm__cpuDOTmax=outer)
    assert machine_limits.cores(here, NOTHING) == expected


@pytest.mark.usefixtures("eight")
def test_control_groups_of_version_1(tmp_path: Path) -> None:
    """A container of Docker's: what is mounted begins at the container's own group."""
    here = proc(
        tmp_path,
        "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc/inner\n0::/\n",
        "33 31 0:30 /docker/abc TMP/with\\040space/cpu rw - cgroup cgroup rw,cpu,cpuacct",
        "35 31 0:32 /docker/abc TMP/memory rw - cgroup cgroup rw,memory",
        "36 31 0:33 / TMP/unified rw - cgroup2 cgroup2 rw",
    )
    put(tmp_path, memory__memoryDOTlimit_in_bytes="9000000", memory__memoryDOTusage_in_bytes="5000000")
    put(tmp_path, memory__memoryDOTstat="cache 7\ntotal_inactive_file 1000000\n")
    cpu = tmp_path / "with space/cpu"
    (cpu / "inner").mkdir(parents=True)
    for folder, quota in ((cpu, "200000"), (cpu / "inner", "-1")):
        (folder / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert machine_limits.cores(here, NOTHING) == 2
    found = machine_limits.memory(here, NOTHING)
    assert (found.total, found.available, found.limited) == (9_000_000, 5_000_000, True)


def test_memory_of_version_2(tmp_path: Path) -> None:
    here = proc(tmp_path, "0::/a/b\n", V2)
    put(tmp_path, cg__a__b__memoryDOTmax="max", cg__a__b__memoryDOTcurrent="300000")
    put(tmp_path, cg__a__memoryDOTmax="1000000", cg__a__memoryDOTcurrent="400000")
    found = machine_limits.memory(here, NOTHING)
    assert (found.total, found.available, found.limited) == (1_000_000, 600_000, True)
    put(tmp_path, cg__a__memoryDOTmax="max")
    assert machine_limits.memory(here, NOTHING).total == MACHINE
    assert not machine_limits.memory(here, NOTHING).limited


@pytest.mark.usefixtures("eight")
def test_what_slurm_allots_counts_where_it_does_not_confine(tmp_path: Path) -> None:
    there = {"SLURM_CPUS_ON_NODE": "3", "SLURM_MEM_PER_NODE": "2"}
    assert machine_limits.cores(tmp_path, there) == 3
    assert machine_limits.memory(tmp_path, there).total == 2 * 1024**2
    assert machine_limits.cores(tmp_path, {"SLURM_CPUS_ON_NODE": "64"}) == 8
    assert machine_limits.memory(tmp_path, {"SLURM_MEM_PER_NODE": "0"}).total == MACHINE  # all of it


def test_without_control_groups_the_cpu_set_counts(tmp_path: Path) -> None:
    assert machine_limits.cores(tmp_path, NOTHING) == len(os.sched_getaffinity(0))
    assert machine_limits.memory(tmp_path, NOTHING).total == MACHINE
    code = "from pipeline.common import machine_limits\nprint(machine_limits.cores())"
    one = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    done = subprocess.run([*one, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_torch_computes_on_no_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        monkeypatch.setattr(machine_limits, "cores", lambda: 2)
        machine_limits.share_threads()
        assert torch.get_num_threads() == 2
        monkeypatch.setattr(machine_limits, "cores", lambda: 64)
        machine_limits.share_threads()
        assert torch.get_num_threads() == 2  # such as OMP_NUM_THREADS asks for
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("visible", "counted"),
    [
        (None, 3),
        ("", 0),
        ("-1", 0),
        ("1", 1),
        ("0,2", 2),
        ("0,-1,2", 1),
        ("GPU-1a, GPU-2b", 2),
        ("0,1,2,3,4", 3),
    ],
)
def test_gpus_that_the_driver_knows_and_this_process_is_left(
    tmp_path: Path, visible: str | None, counted: int
) -> None:
    for bus in ("0000:0f:00.0", "0000:10:00.0", "0000:11:00.0"):
        (tmp_path / bus).mkdir()
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert machine_limits.gpus_installed(tmp_path, environment) == counted
    assert machine_limits.gpus_installed(tmp_path / "none", environment) == 0
