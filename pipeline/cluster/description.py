"""A cluster's YAML file, read as Ray reads it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from pipeline.common import files, yaml_text
from pipeline.common.errors import PipelineError, lines, printable

USER, HOST = re.compile(r"[A-Za-z_][\w.-]*\$?"), re.compile(r"[A-Za-z0-9][\w.:%-]*")
LEFT_OPEN = re.compile(r"YOUR-[A-Z-]+")  # what a file that is handed out leaves to its user


@dataclass(frozen=True)
class Description:
    """A cluster's file as it is written, and as Ray completes it."""

    path: Path
    given: Mapping[str, Any]
    whole: Mapping[str, Any]  # with Ray's defaults filled in
    left_open: tuple[str, ...]  # lines that its user has to fill in

    @property
    def kind(self) -> str:
        """The provider: aws, local (machines that are there already), …"""
        return str(self.given["provider"]["type"])

    @property
    def on_premises(self) -> bool:
        return self.kind == "local"

    @property
    def head(self) -> str:
        """The address of the head; of machines that are there already alone."""
        return str(self.given["provider"]["head_ip"])

    @property
    def workers(self) -> list[str]:
        """The addresses of the workers; of machines that are there already alone."""
        return [str(address) for address in self.given["provider"].get("worker_ips") or []]

    def start(self, node: str) -> str:
        """The command that starts Ray on a head or a worker; empty if there is none."""
        commands = [c for c in self.whole.get(f"{node}_start_ray_commands") or [] if "ray start" in c]
        return " ".join(commands)

    def environment(self, node: str) -> dict[str, str]:
        """Environment variables of a node's processes: from Docker's options and from exports."""
        docker = self.whole.get("docker") or {}
        options = [*(docker.get("run_options") or []), *(docker.get(f"{node}_run_options") or [])]
        pairs = [str(o).removeprefix("--env=") for o in options if str(o).startswith("--env=")]
        commands = ("setup_commands", f"{node}_setup_commands", f"{node}_start_ray_commands")
        for command in (c for name in commands for c in self.given.get(name) or []):
            pairs += re.findall(r"(?<![\w$])([A-Z][A-Z0-9_]*=[^\s;&\"']+)", command)
        return dict(pair.split("=", 1) for pair in pairs)


def read(path: Path) -> Description:
    """Read a file, and let Ray check it against its schema.

    Raises:
        PipelineError: it is not there, is no YAML, or Ray would refuse it.
    """
    # Ray takes its time to import.
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        content = path.read_bytes()
    except OSError as error:
        raise files.unreadable(path, error) from None
    given, text = yaml_text.parse(content, path), content.decode("utf-8", "replace")
    if not isinstance(given, dict) or not isinstance(given.get("provider"), dict):
        raise PipelineError(f"{path}: not a cluster file: it has no section provider")
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            whole = prepare_config(given)
            validate_config(whole)
    except (Exception, SystemExit) as error:  # Ray raises all kinds, and ends the process for some
        raise PipelineError(f"{path}: Ray refuses it: {_first_line(error)}") from None
    _check_names(path, given)
    lines = [line.split(" #")[0].strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    return Description(path, given, whole, tuple(line for line in lines if LEFT_OPEN.search(line)))


def _check_names(path: Path, given: Mapping[str, Any]) -> None:
    """Raise unless users and hosts are plain names: they become parts of commands, here and on the head."""
    provider, auth = given["provider"], given.get("auth") or {}
    hosts = [provider.get("head_ip"), *(provider.get("worker_ips") or [])]
    named = [("auth.ssh_user", auth.get("ssh_user"), USER), *(("provider", host, HOST) for host in hosts)]
    for where, name, pattern in named:
        if name is not None and not pattern.fullmatch(str(name)):
            raise PipelineError(f"{path}: {where}: {printable(name)} is no name of a user or a host")


def _first_line(error: BaseException) -> str:
    message = getattr(error, "message", None)  # of a schema's violation: with the place
    if message:
        place = ".".join(map(str, getattr(error, "absolute_path", ())))
        return f"{place + ': ' if place else ''}{message}"
    return lines(error)[0]


def strings(node: Any) -> Iterator[str]:
    """Every text in a YAML tree, keys too."""
    if isinstance(node, dict):
        yield from strings([*node, *node.values()])
    elif isinstance(node, list | tuple):
        for item in node:
            yield from strings(item)
    elif isinstance(node, str):
        yield node
