"""Checks of a cluster's file, made without a cluster: one line a problem."""

import re
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pipeline
from pipeline.cluster.description import Description, strings

NODES = ("head", "worker")
TOKEN = "~/.ray/auth_token"
NEVER_COPIED = (".venv", "__pycache__", "/.vaepipe", "/data", "/models")
LOCK = Path(str(pipeline.__file__)).resolve().parents[1] / "requirements.txt"
PYTHONS = ("3.11", "3.12", "3.13")  # that pyproject.toml admits

Rule = Callable[[Description], Iterator[str]]


def problems(description: Description) -> list[str]:
    """List all problems of a file; none where it is good."""
    return [problem for rule in RULES for problem in rule(description)]


def locked_ray() -> str:
    """The version of Ray that nodes have to have: the lock's, where there is one, else this environment's."""
    if LOCK.exists():
        locked = re.findall(r"^ray==(\S+)$", LOCK.read_text(encoding="utf-8"), re.MULTILINE)
        if locked:
            return str(locked[0])
    return version("ray")


def _versions(description: Description) -> Iterator[str]:
    """Ray refuses a driver or a node of another version, and pickles do not pass between Pythons."""
    docker, ray = description.whole.get("docker") or {}, locked_ray()
    pythons = set()
    for key in ("image", "head_image", "worker_image"):
        if image := docker.get(key):
            tag = re.fullmatch(r"rayproject/ray:([\d.]+)-py3(\d+)(-\w+)?", image)
            if not tag:
                yield f"docker.{key} is {image}; expected rayproject/ray:{ray}-py311 or -py311-gpu"
                continue
            pythons.add(f"3.{tag[2]}")
            if tag[1] != ray:
                yield f"docker.{key} has Ray {tag[1]}, but the lock has {ray}"
            if f"3.{tag[2]}" not in PYTHONS:
                yield f"docker.{key} has Python 3.{tag[2]}; the project needs one of {', '.join(PYTHONS)}"
    if len(pythons) > 1:
        yield f"docker: the images have several Pythons: {', '.join(sorted(pythons))}"
    setup = "\n".join(description.given.get("setup_commands") or [])
    if "requirements.txt" not in setup:
        yield "setup_commands install nothing from requirements.txt, so nodes may have other versions"


def _token(description: Description) -> Iterator[str]:
    """Without one, Ray runs whatever anybody who reaches a port asks for."""
    for node in NODES:
        if description.environment(node).get("RAY_AUTH_MODE") != "token":
            yield f"RAY_AUTH_MODE=token is not set on the {node}: who reaches its ports could run anything"
    mounts = description.whole.get("file_mounts") or {}
    if TOKEN not in mounts.values():
        yield f"file_mounts does not bring {TOKEN} to the nodes, without which none of them can join"


def _dashboard(description: Description) -> Iterator[str]:
    """Ray's default for a cluster is every address."""
    hosts = re.findall(r"--dashboard-host[= ](\S+)", description.start("head"))
    if hosts != ["127.0.0.1"] and "--include-dashboard=false" not in description.start("head"):
        yield (
            "head_start_ray_commands: the dashboard is not on --dashboard-host=127.0.0.1 alone; "
            "`ray dashboard FILE` brings it to you over SSH"
        )


def _doors(description: Description) -> Iterator[str]:
    for text in strings(description.given):
        if re.search(r"0\.0\.0\.0/0|::/0", text):
            yield f"{text}: opens a port to the whole internet; name one address range"
    if description.kind != "aws":
        return
    if "security_group" in description.given["provider"]:
        yield "provider.security_group: Ray opens SSH to the whole internet in a group that it fills in"
    for name, kind in (description.given.get("available_node_types") or {}).items():
        where, config = f"available_node_types.{name}", kind.get("node_config") or {}
        if not config.get("SecurityGroupIds"):
            yield f"{where}: no SecurityGroupIds; a group that Ray makes is open to the internet"
        if (config.get("MetadataOptions") or {}).get("HttpTokens") != "required":
            yield f"{where}: MetadataOptions.HttpTokens is not required (IMDSv2)"
        if not config.get("IamInstanceProfile"):
            yield f"{where}: no IamInstanceProfile; Ray's own allows anything in EC2 and S3"


def _addresses(description: Description) -> Iterator[str]:
    """Faults of `ray up` on machines that are there already."""
    if not description.on_premises:
        return
    for node in NODES:
        if "--node-ip-address" not in description.start(node):
            yield (
                f"{node}_start_ray_commands: no --node-ip-address: Ray may choose 127.0.0.1, "
                "to which no other node can connect"
            )
    workers, least = description.workers, description.given.get("min_workers")
    if least != len(workers) or description.given.get("max_workers") != len(workers):
        yield f"min_workers and max_workers must be {len(workers)}, the number of worker_ips"
    if len({*workers, description.given["provider"].get("head_ip")}) != len(workers) + 1:
        yield "provider: an address is there twice"


def _starts(description: Description) -> Iterator[str]:
    for node in NODES:
        if "ray start" not in description.start(node):
            yield f"{node}_start_ray_commands do not start Ray"
    if "--autoscaling-config" not in description.start("head"):
        yield "head_start_ray_commands: no --autoscaling-config=~/ray_bootstrap_config.yaml: no worker starts"


def _storage(description: Description) -> Iterator[str]:
    """Checkpoints on a node's own disk go when it goes."""
    storage = description.environment("head").get("VAEPIPE_STORAGE")
    if not storage:
        yield "VAEPIPE_STORAGE is not set on the head: checkpoints need storage that every node shares"
    elif not re.match(r"[a-z0-9]+://|/", storage):
        yield f"VAEPIPE_STORAGE is {storage}; expected a URI such as s3://bucket/folder, or an absolute path"


def _copied(description: Description) -> Iterator[str]:
    """Data, caches and virtual environments stay at home."""
    excluded = description.whole.get("rsync_exclude") or []
    missing = [name for name in NEVER_COPIED if name not in excluded]
    if "." in (description.given.get("file_mounts") or {}).values() and missing:
        yield f"rsync_exclude lacks {', '.join(missing)}, which `ray up` would copy to every node"


RULES: tuple[Rule, ...] = (
    _versions,
    _token,
    _dashboard,
    _doors,
    _addresses,
    _starts,
    _storage,
    _copied,
)
