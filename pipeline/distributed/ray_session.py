"""Joining a Ray cluster, or starting Ray on this machine, and asking what it offers."""

import math
import os
import re
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private.authentication.authentication_utils import is_token_auth_enabled
from ruamel.yaml import YAML

import pipeline
import vae
from pipeline.common import machine_limits, process_exit, wording
from pipeline.common.errors import PipelineError, one_line
from pipeline.common.progress import console
from pipeline.distributed import ray_local
from pipeline.distributed.placement import ClusterResources
from pipeline.runs.storage_lock import Check

# Read by Ray's driver process before it starts anything.
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # The driver learns of a finished or failed gang this often; the default is 2 s.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # No service to scrape is running, and each rank would open a port for one.
    "RAY_TRAIN_METRICS_ENABLED": "0",
    # CPU ranks on a machine with GPUs keep seeing none.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}

ADDRESS_VARIABLES = ("VAEPIPE_ADDRESS", "RAY_ADDRESS")  # in the order in which --address looks for them
DASHBOARD_PORT = 8265  # unless it is told otherwise

CONNECT_SECONDS = 5.0  # for a cluster to answer
WATCH_SECONDS = 0.25  # between two looks at Ray's processes

# Where `ray up` leaves the cluster's description on the head, for its autoscaler.
AUTOSCALER_CONFIG = "ray_bootstrap_config.yaml"  # in the home


@dataclass(frozen=True)
class Session:
    """The Ray that this process is connected to."""

    joined: bool  # a cluster that was there before, not one of this process's own
    servers: tuple[psutil.Process, ...] = ()  # Ray's processes, where they are this process's own
    checks: Sequence[Check] = ()  # of what else may be lost: the lock in the storage

    def check(self) -> None:
        """Raise when one of Ray's own processes has died: Ray itself says so after a minute, if at all."""
        for check in self.checks:
            check()
        for server in self.servers:
            if process_exit.has_ended(server):
                raise PipelineError(
                    f"Ray's process {server.pid} ended unexpectedly (killed, or out of memory?); "
                    "checkpoints are kept, and the same command goes on from them"
                )


@contextmanager
def connected(address: str | None, checks: Sequence[Check] = ()) -> Iterator[Session]:
    """Ray for the block: the cluster at `address`, or one that is started on this machine alone.

    While Ray's work is waited for `checks` are called, which may raise: they belong to what the work needs.

    Raises:
        PipelineError: no cluster answers there, or Ray cannot start.
    """
    joined = address not in (None, "local")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    quiet = {"log_to_driver": False, "logging_level": "CRITICAL", "configure_logging": True}
    if joined:
        _join(str(address), quiet)
    else:
        ray_local.start(**quiet)
    children = () if joined else psutil.Process().children()
    # Ray prints pages of its servers' logs when one dies; `check` says it in a line.
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        # Not shut down here: under a thread that still waits inside Ray that would end the process without a
        # word, and otherwise it takes seconds. `cli` ends the command with all of its processes.
        yield Session(
            joined, tuple(p for p in children if process_exit.name(p) in process_exit.SERVERS), checks
        )
        if joined:
            ray.shutdown()


def _join(address: str, settings: Mapping[str, Any]) -> None:
    where = _named(address)
    if re.match("https?://", address) or address.endswith(f":{DASHBOARD_PORT}"):
        host = address.split("://")[-1].split("/")[0].partition(":")[0]
        raise PipelineError(
            f"{where}: that is the address of Ray's dashboard; give that of the cluster, such as {host}:6379"
        )
    if ":" in address:
        _check_reachable(address, where)
    try:
        # Every node runs the driver's own code.
        code = {"py_modules": [_folder(vae), _folder(pipeline)]}
        ray_local.in_a_thread(
            lambda: ray.init(address, runtime_env=code, **settings),
            math.inf,
            f"waiting for the Ray cluster of {where}",
        )
    except Exception as error:  # Ray raises plain ones too
        reason = one_line(error)
        raise PipelineError(f"{where}: no Ray cluster can be joined there: {reason}") from error
    if not is_token_auth_enabled():
        console.print(
            f"[bold red]warning:[/] {where}: this cluster asks for no token, so whoever reaches its ports "
            "can run code on it, and on this machine while it is joined; start it with RAY_AUTH_MODE=token",
            soft_wrap=True,
        )


def _named(address: str) -> str:
    """The address, by the option or the variable that it came from."""
    for name in ADDRESS_VARIABLES:
        if os.environ.get(name):
            return f"{name}={address}" if os.environ[name] == address else f"--address {address}"
    return f"--address {address}"


def _check_reachable(address: str, where: str) -> None:
    """Raise within seconds where nothing listens: Ray itself goes on trying for more than ten minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        leave = "leave the option out" if where.startswith("--") else f"unset {where.partition('=')[0]}"
        raise PipelineError(
            f"{where}: no Ray cluster answers there ({error}); "
            f"start one with `ray start --head`, or {leave} to train on this machine"
        ) from None


def cluster_resources(session: Session) -> ClusterResources:
    """The CPUs and GPUs of the cluster that was joined, and the GPUs that its autoscaler may start."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = tuple(int(resources.get("GPU", 0)) for resources in nodes)
    if not session.joined:
        gpus = _usable(gpus)
    startable = autoscaler_gpus(_home() / AUTOSCALER_CONFIG) if session.joined else 0
    return ClusterResources(
        node_cpus=tuple(resources.get("CPU", 0.0) for resources in nodes),
        node_gpus=gpus,
        gpu_limit=max(sum(gpus), startable),
    )


def _usable(gpus: tuple[int, ...]) -> tuple[int, ...]:
    """Those of this machine's GPUs that torch can use; says how many it cannot.

    A torch without CUDA, or for a newer driver, cannot. Ray was told what torch counts, but its own variable
    RAY_OVERRIDE_RESOURCES counts more.
    """
    usable = machine_limits.gpus()
    known = max(sum(gpus), machine_limits.gpus_installed())
    if usable < known:
        console.print(
            f"[bold red]warning:[/] {wording.count(known, 'GPU')} in this machine, of which torch can "
            f"use {usable or 'none'}; install a torch with CUDA that suits the driver "
            "(pytorch.org/get-started)",
            soft_wrap=True,
        )
    return (min(usable, sum(gpus)),)


def _home() -> Path:
    """The home folder; one that is not there, for a user who has none."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/nonexistent")


def start_seconds() -> float:
    """Seconds that Ray Train waits for the ranks' nodes before it asks for them anew."""
    return float(os.environ.get("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", 60))


def autoscaler_gpus(config: Path) -> int:
    """The most GPUs that a cluster started by `ray up` may have; 0 where the file is not there.

    Ray tells no driver what its autoscaler may do, so this reads what the autoscaler itself reads.
    """
    if not config.exists():
        return 0
    cluster = YAML(typ="safe", pure=True).load(config)
    workers = [
        int(kind.get("resources", {}).get("GPU", 0))
        for name, kind in cluster["available_node_types"].items()
        if name != cluster["head_node_type"]
        for _ in range(kind.get("max_workers", 0))
    ]
    return sum(sorted(workers, reverse=True)[: cluster["max_workers"]])


def run_watched(
    work: Callable[[], object], session: Session, each: Callable[[], None] | None = None
) -> BaseException | None:
    """Let blocking work of Ray's be done in a thread; return what it raised.

    The main thread meanwhile calls `each` a few times a second, watches Ray's processes, and answers Ctrl-C
    at once.
    """
    raised: list[BaseException] = []

    def attempt() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=attempt, name="ray-work", daemon=True)
    thread.start()
    while thread.is_alive():
        session.check()
        thread.join(WATCH_SECONDS)
        if each:
            each()
    return raised[0] if raised else None


@contextmanager
def scratch() -> Iterator[str]:
    """A folder for what Ray Train insists on writing; nothing of it is read again."""
    with tempfile.TemporaryDirectory(prefix="vaepipe-", ignore_cleanup_errors=True) as folder:
        yield folder


def _folder(module: object) -> str:
    return str(Path(str(module.__file__)).parent)  # type: ignore[attr-defined]
