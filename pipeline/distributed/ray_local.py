"""Ray on this machine alone, for as long as one command runs: where, with what, and for whom it answers."""

import logging
import os
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private import ray_constants

from pipeline.common import machine_limits, process_exit
from pipeline.common.errors import Interrupted, PipelineError, lines
from pipeline.common.progress import console
from pipeline.distributed import object_store, ray_folder, start_deadline

# No node of it is ever announced to be taken away.
ENVIRONMENT = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}
# By which Ray keeps to the loopback interface on systems where it knows of no clusters.
CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"

SHARED_MEMORY = Path("/dev/shm")

TRIES = 2  # a machine under load may take longer than Ray waits
START_SECONDS = 100.0  # for a try: where Ray cannot start a thread or write a file it may wait for ever
LOOK_SECONDS = 0.05
FEW = 500  # processes and threads, of which a Ray that is started here takes some 250


def start(**settings: Any) -> None:
    """Start Ray and connect to it.

    Raises:
        PipelineError: it does not start.
        Interrupted: Ctrl-C meanwhile.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _choose_token()
    _keep_to_loopback()
    settings |= resources() | {"include_dashboard": False, "_temp_dir": str(ray_folder.choose())}
    limit = few_processes()
    for left in reversed(range(TRIES)):
        before = set(psutil.Process().children(recursive=True))
        try:
            last = f"error: {_no_start(StartTimeout(START_SECONDS), limit)}"
            with start_deadline.enforced(START_SECONDS, last, grace=5):
                in_a_thread(lambda: ray.init("local", **settings), START_SECONDS)
            return
        except KeyboardInterrupt:
            raise Interrupted("interrupted while Ray was starting: run the same command again") from None
        except StartTimeout as error:  # what hangs goes on hanging
            raise _no_start(error, limit) from None
        except Exception as error:  # Ray raises plain ones too
            _clean(before)
            if not left or isinstance(error, ValueError):  # a setting that is wrong stays wrong
                raise _no_start(error, limit) from error
            said = lines(error)[0].rstrip(".")
            console.print(f"Ray did not start: {said}; trying once more", markup=False)


class StartTimeout(Exception):
    """Ray has not answered in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it was not ready within {seconds:.0f} s")


def in_a_thread(init: Callable[[], object], seconds: float, waiting: str = "") -> None:
    """Let Ray be started or joined in a thread; meanwhile Ctrl-C and SIGTERM are this process's own.

    In the main thread Ray would answer SIGTERM by an exit of its own, and nothing could end its waiting.
    `waiting` is what is said of it every ten seconds.

    Raises:
        StartTimeout: it was not ready in so many seconds.
        Exception: what `init` raised.
    """
    raised: list[BaseException] = []
    done = threading.Event()

    def attempt() -> None:
        try:
            init()
        except BaseException as error:
            raised.append(error)
        done.set()
        # The kernel ends Ray's processes when the thread ends that has started them.
        threading.Event().wait()

    logging.getLogger("ray").setLevel(logging.CRITICAL)  # it warns that this is no main thread
    threading.Thread(target=attempt, name="ray-init", daemon=True).start()
    began = said = time.monotonic()
    while not done.wait(LOOK_SECONDS):
        # Ray's own answer to SIGTERM is to print a page.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        now = time.monotonic()
        if now - began > seconds:
            raise StartTimeout(seconds)
        if waiting and now - said >= start_deadline.SAID_SECONDS:
            said = now
            console.print(f"{waiting}: {now - began:.0f} s so far; Ctrl-C ends it", markup=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if raised:
        raise raised[0]


def resources() -> dict[str, Any]:
    """Resources that Ray may give away: Ray itself would look at the whole machine."""
    found: dict[str, Any] = {"num_cpus": machine_limits.cores(), "num_gpus": machine_limits.gpus()}
    memory = machine_limits.memory()
    if memory.limited:
        shared = shutil.disk_usage(SHARED_MEMORY).total if SHARED_MEMORY.is_dir() else 0
        found["object_store_memory"] = object_store.size(memory.available, shared)
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


def few_processes() -> str:
    """A limit that Ray may fail of, for the end of an error; empty where there is none so low."""
    used, most = machine_limits.processes()
    if most is None or most - used > FEW:
        return ""
    return f" (only {most:,} processes and threads may run here: `ulimit -u`, or a control group's pids.max)"


def _no_start(error: Exception, limit: str) -> PipelineError:
    return PipelineError(f"Ray cannot start: {lines(error)[0].rstrip('.')}{limit}; run the command again")


def _clean(before: set[psutil.Process]) -> None:
    """End what a start that failed has left."""
    # Half of Ray is up, so Ray's own way to end it may fail too.
    with suppress(Exception):
        ray.shutdown()
    left = set(psutil.Process().children(recursive=True)) - before
    for process in left:
        process_exit.kill(process)
    psutil.wait_procs(left, timeout=5)  # what is started next finds none of them
