"""`ray up`, `ray exec` and `ray down`, with what they leave undone on machines that are there already.

Ray's version 2 of the autoscaler starts one worker too few there, `ray down` stops Ray on the head alone, and
neither says whether the nodes that should be there are.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.cluster import check, nodes
from pipeline.cluster.description import Description
from pipeline.cluster.nodes import Node
from pipeline.common.errors import PipelineError, lines

POLL_SECONDS = 3
KEY = "~/ray_bootstrap_key.pem"  # where Ray leaves the key on the head
# Hosts are known by their addresses alone, as to Ray itself.
SSH = (
    "-oStrictHostKeyChecking=no",
    "-oUserKnownHostsFile=/dev/null",
    "-oLogLevel=ERROR",
    "-oConnectTimeout=10",
    "-oBatchMode=yes",
)
# What Ray runs as. In brackets, so that a search does not find itself.
PROCESSES = "[r]aylet/raylet|[g]cs_server|[r]ay::|[d]efault_worker.py|ray/dashboard/[a]gent.py|[m]onitor.py"
LEFT = "vaepipe-left "  # before the number of processes that are left
STOP = f"ray stop --force; pgrep -fc '{PROCESSES}' | sed 's/^/{LEFT}/'"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Cluster:
    """A described cluster, and `ray` to handle it with."""

    described: Description
    say: Say

    def up(self, wait: float) -> list[Node]:
        """Start it, or bring it up to date; wait so many seconds for its nodes; return them.

        Raises:
            PipelineError: the file has problems, `ray up` failed, or a node did not join: which, and why.
        """
        self._refuse_problems()
        if self.described.on_premises:
            self._probe_head()
        if self._ray("up", "--yes", "--no-config-cache", str(self.described.path)).returncode:
            raise PipelineError(f"{self.described.path}: `ray up` failed; what it said is above")
        expected = {self.described.head, *self.described.workers} if self.described.on_premises else set()
        if expected:
            self.say(f"waiting for {len(expected)} nodes, up to {wait:.0f} s")
        deadline = time.monotonic() + wait
        while True:
            found = self.nodes()
            missing = expected - {node.address for node in found}
            if found and not missing:
                return found
            if time.monotonic() > deadline:
                reasons = "; ".join(self._why(address) for address in sorted(missing))
                raise PipelineError(f"{self.described.path}: {reasons or 'the head does not answer'}")
            time.sleep(POLL_SECONDS)

    def nodes(self) -> list[Node]:
        """The nodes that are up; none where the head does not answer."""
        return nodes.read(self._on_head("cd ~/vaepipe && python -m pipeline.cluster.nodes").stdout) or []

    def down(self) -> None:
        """Stop Ray everywhere; on machines that are there already, see to it that nothing of it is left.

        Raises:
            PipelineError: `ray down` failed, or processes are left: where.
        """
        left = []
        if self.described.on_premises:
            # Workers first, through the head, which can reach them: `ray down` would leave them running.
            for worker in self.described.workers:
                self.say(f"stopping Ray on {worker}")
                if self._stop(worker):
                    left.append(worker)
        if self._ray("down", "--yes", str(self.described.path)).returncode:
            raise PipelineError(f"{self.described.path}: `ray down` failed; what it said is above")
        if self.described.on_premises and self._stop_head():
            left.append(self.described.head)
        if left:
            raise PipelineError(
                f"{self.described.path}: Ray still runs, or cannot be asked, on {', '.join(left)}"
            )

    def _refuse_problems(self) -> None:
        if self.described.left_open:
            lines = ", ".join(f"`{line}`" for line in self.described.left_open)
            raise PipelineError(f"{self.described.path}: to fill in first: {lines}")
        if found := check.problems(self.described):
            raise PipelineError(f"{self.described.path}: {'; '.join(found)}")

    def _probe_head(self) -> None:
        """Raise at once where SSH does not let us in: `ray up` would try for minutes."""
        done = self._ssh("true")
        if done.returncode:
            auth = self.described.given["auth"]
            said = lines(done.stderr, "no answer")[-1]
            key = auth.get("ssh_private_key")
            raise PipelineError(f"{self.described.head}: no SSH as {auth['ssh_user']} with {key}: {said}")

    def _why(self, worker: str) -> str:
        """Reason why a node did not join, as far as the head can see."""
        done = self._on_head(self._hop(worker, "ray --version"))
        # Among lines of Ray's own, which repeat the command.
        versions = re.findall(r"^\s*ray, version (\S+)", done.stdout, re.MULTILINE)
        if not versions:
            words = "Permission denied|timed out|No route|refused|unreachable|could not resolve"
            said = re.findall(
                rf"^(?!.*command_runner).*(?:{words}).*$", done.stdout, re.MULTILINE | re.IGNORECASE
            )
            return f"{worker} did not join: no SSH from the head ({(said or ['no answer'])[-1].strip()})"
        if versions[-1] != check.locked_ray():
            return f"{worker} did not join: it has Ray {versions[-1]}, the others have {check.locked_ray()}"
        return f"{worker} did not join, though its Ray is the right one; look at /tmp/ray there"

    def _stop(self, worker: str) -> bool:
        """Stop Ray on a worker; return whether something of it is left, or nothing was to be learned."""
        return _left(self._on_head(self._hop(worker, STOP)).stdout)

    def _stop_head(self) -> bool:
        return _left(self._ssh(f"bash --login -i -c {shlex.quote(STOP)}").stdout)

    def _hop(self, worker: str, script: str) -> str:
        """A command for the head that runs a script on a worker, as Ray itself does."""
        user = self.described.given["auth"]["ssh_user"]
        inner = f"bash --login -i -c {shlex.quote(script)}"
        where = shlex.quote(f"{user}@{worker}")
        return f"ssh -i {KEY} {' '.join(SSH)} -- {where} {shlex.quote(inner)} 2>&1"

    def _on_head(self, command: str) -> subprocess.CompletedProcess[str]:
        return self._ray("exec", "--no-config-cache", str(self.described.path), command, quiet=True)

    def _ssh(self, command: str) -> subprocess.CompletedProcess[str]:
        """On the head, from here."""
        auth = self.described.given["auth"]
        key = ["-i", str(Path(auth["ssh_private_key"]).expanduser())] if "ssh_private_key" in auth else []
        where = f"{auth['ssh_user']}@{self.described.head}"
        return subprocess.run(
            ["ssh", *key, *SSH, "--", where, command], capture_output=True, text=True, check=False
        )

    def _ray(self, *arguments: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
        """Ray's own command line, of this environment."""
        settings = {"RAY_USAGE_STATS_ENABLED": "0"}
        if self.described.on_premises:
            settings["RAY_UP_enable_autoscaler_v2"] = "0"
        return subprocess.run(
            [str(Path(sys.executable).with_name("ray")), *arguments],
            env=os.environ | settings,
            stdout=subprocess.PIPE if quiet else None,
            stderr=subprocess.STDOUT if quiet else None,
            text=True,
            check=False,
        )


def _left(said: str) -> bool:
    """Whether a count of processes is above 0, or is not there."""
    counts = [line.split()[1] for line in said.splitlines() if line.strip().startswith(LEFT)]
    return not counts or counts[-1] != "0"


def table(found: Sequence[Node]) -> str:
    """Nodes for people, a line each, the head first."""
    lines = [f"{'address':<18}{'':<8}{'CPUs':>6}{'GPUs':>6}"]
    for node in sorted(found, key=lambda node: (not node.head, node.address)):
        kind = "head" if node.head else "worker"
        lines.append(f"{node.address:<18}{kind:<8}{node.cpus:>6.0f}{node.gpus:>6.0f}")
    return "\n".join(lines)
