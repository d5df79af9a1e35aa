"""Joining a Ray cluster, or starting Ray on this machine, and asking what it offers."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

import pipeline
import vae
from pipeline.errors import PipelineError
from pipeline.placement import Offer

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


@contextmanager
def session(address: str | None) -> Iterator[None]:
    """Ray, while the block runs: the cluster at `address` (or RAY_ADDRESS), else one on this machine alone.

    Raises:
        PipelineError: no cluster answers there.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": True}
    try:
        if address == "local":
            ray.init("local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
        else:
            # Every node runs the driver's own code.
            ray.init(address, runtime_env={"py_modules": [_folder(vae), _folder(pipeline)]}, **quiet)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise PipelineError(f"--address {address}: no Ray cluster can be joined there: {error}") from None
    try:
        yield
    finally:
        ray.shutdown()


def offer() -> Offer:
    """The CPUs and GPUs of the cluster that was joined, and what its autoscaler may add."""
    from ray._private.state import state

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(resources.get("GPU", 0) for resources in nodes))
    most = state.get_max_resources_from_cluster_config() or {}
    return Offer(
        node_cpus=tuple(resources.get("CPU", 0.0) for resources in nodes),
        gpus=gpus,
        gpu_limit=max(gpus, int(most.get("GPU", 0))),
    )


@contextmanager
def scratch() -> Iterator[str]:
    """A folder for what Ray Train insists on writing; nothing of it is read again."""
    with tempfile.TemporaryDirectory(prefix="vaepipe-", ignore_cleanup_errors=True) as folder:
        yield folder


def _folder(module: object) -> str:
    return str(Path(str(module.__file__)).parent)  # type: ignore[attr-defined]
