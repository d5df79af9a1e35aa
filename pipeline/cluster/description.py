"""A cluster's YAML file, read as Ray reads it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.common.errors import PipelineError

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
        text = path.read_text(encoding="utf-8")
        given = YAML(typ="safe", pure=True).load(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise PipelineError(f"{path}: cannot be read: {reason}") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}:" if mark else ""
        raise PipelineError(f"{path}:{line} not valid YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(given, dict) or not isinstance(given.get("provider"), dict):
        raise PipelineError(f"{path}: not a cluster file: it has no section provider")
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            whole = prepare_config(given)
            validate_config(whole)
    except (Exception, SystemExit) as error:  # Ray raises all kinds, and ends the process for some
        raise PipelineError(f"{path}: Ray refuses it: {_first_line(error)}") from None
    lines = [line.split(" #")[0].strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    return Description(path, given, whole, tuple(line for line in lines if LEFT_OPEN.search(line)))


def _first_line(error: BaseException) -> str:
    message = getattr(error, "message", None)  # of a schema's violation: with the place
    if message:
        place = ".".join(map(str, getattr(error, "absolute_path", ())))
        return f"{place + ': ' if place else ''}{message}"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def strings(node: Any) -> Iterator[str]:
    """Every text in a YAML tree, keys too."""
    if isinstance(node, dict):
        yield from strings([*node, *node.values()])
    elif isinstance(node, list | tuple):
        for item in node:
            yield from strings(item)
    elif isinstance(node, str):
        yield node
