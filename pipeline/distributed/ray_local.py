"""Ray on this machine alone, for as long as one command runs: where, with what, and for whom it answers."""

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private import ray_constants

from pipeline.common import machine_limits, process_exit
from pipeline.common.errors import PipelineError
from pipeline.common.progress import console
from pipeline.distributed import ray_folder

# No node of it is ever announced to be taken away.
ENVIRONMENT = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
# By which Ray keeps to the loopback interface on systems where it knows of no clusters.
CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"

# As Ray sizes its object store where nothing narrows the memory.
STORE_SHARE, STORE_LEAST, STORE_MOST = 0.3, 100 * 1024**2, 10 * 10**9
SHARED_MEMORY = Path("/dev/shm")

TRIES = 2  # a machine under load may take longer than Ray waits


def start(**settings: Any) -> None:
    """Start Ray and connect to it.

    Raises:
        PipelineError: it does not start; what it started is ended.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _choose_token()
    _keep_to_loopback()
    settings |= resources() | {"include_dashboard": False, "_temp_dir": str(ray_folder.choose())}
    for left in reversed(range(TRIES)):
        before = set(psutil.Process().children(recursive=True))
        try:
            ray.init("local", **settings)
            return
        except Exception as error:  # Ray raises plain ones too
            _clean(before)
            said = _line(error)
            if not left or isinstance(error, ValueError):  # a setting that is wrong stays wrong
                raise PipelineError(f"Ray cannot start: {said}; run the command again") from error
            console.print(f"Ray did not start: {said}; trying once more", markup=False)


def resources() -> dict[str, Any]:
    """Resources that Ray may give away: Ray itself would look at the whole machine."""
    found: dict[str, Any] = {"num_cpus": machine_limits.cores(), "num_gpus": machine_limits.gpus()}
    memory = machine_limits.memory()
    if memory.limited:
        shared = shutil.disk_usage(SHARED_MEMORY).total if SHARED_MEMORY.is_dir() else 0
        store = min(int(memory.available * STORE_SHARE), max(STORE_MOST, int(shared * 0.95)))
        found["object_store_memory"] = max(store, STORE_LEAST)
    return found


def _choose_token() -> None:
    """A secret for this Ray alone, in the environment that its processes inherit.

    Ray itself would write one to a file in the home that everybody may read. A token that a user has set
    stays; that somebody switched it off for another Ray does not count here.
    """
    # Ray asks for a token where there is one and no mode was set; one that is set now, it would not hear of.
    os.environ.pop("RAY_AUTH_MODE", None)
    if not any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _keep_to_loopback() -> None:
    """Let no process of this Ray listen on the network."""
    # Gloo would take the address that the machine's name has.
    for interface, addresses in psutil.net_if_addrs().items():
        if any(each.address == "127.0.0.1" for each in addresses):  # `lo` on Linux, `lo0` on a Mac
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    os.environ[CLUSTERS] = "0"
    ray_constants.ENABLE_RAY_CLUSTER = False  # read from there when Ray was imported


def _clean(before: set[psutil.Process]) -> None:
    """End what a start that failed has left."""
    # Half of Ray is up, so Ray's own way to end it may fail too.
    with suppress(Exception):
        ray.shutdown()
    for process in set(psutil.Process().children(recursive=True)) - before:
        process_exit.kill(process)


def _line(error: BaseException) -> str:
    """The first line of what may be pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0].rstrip(".")
