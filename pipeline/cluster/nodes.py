"""Nodes of a cluster, asked on its head: `python -m pipeline.cluster.nodes` prints them in a line."""

import json
from dataclasses import asdict, dataclass

MARK = "vaepipe-nodes "


@dataclass(frozen=True)
class Node:
    """A node that is up."""

    address: str
    cpus: float
    gpus: float
    head: bool


def read(said: str) -> list[Node] | None:
    """The nodes from what this module printed, among other things; None where it printed nothing."""
    lines = [line for line in said.splitlines() if line.strip().startswith(MARK)]
    return [Node(**node) for node in json.loads(lines[-1].strip().removeprefix(MARK))] if lines else None


def alive() -> list[Node]:
    """Nodes that are alive in this machine's cluster. Not by `ray status`, which lags behind."""
    import ray

    ray.init("auto", logging_level="CRITICAL", log_to_driver=False, configure_logging=True)
    return [
        Node(
            node["NodeManagerAddress"],
            node["Resources"].get("CPU", 0.0),
            node["Resources"].get("GPU", 0.0),
            "node:__internal_head__" in node["Resources"],
        )
        for node in ray.nodes()
        if node["Alive"]
    ]


if __name__ == "__main__":
    print(MARK + json.dumps([asdict(node) for node in alive()]))
