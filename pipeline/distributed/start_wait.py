"""The wait for ranks or trials to begin, or to begin anew: what is said, and how long it may last.

On a cluster that others use too there may be no room for as long as they work. A Ray of this command's own
has room: what does not begin there in minutes never will.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.util import placement_group_table

from pipeline.common.errors import PipelineError
from pipeline.common.progress import console
from pipeline.distributed import ray_local
from pipeline.distributed.ray_session import Session

FIRST_SECONDS = 10.0  # until it is said, and on this machine until it is said again
AGAIN_SECONDS = 60.0  # the same on a cluster, where it may last for hours
MOST_SECONDS = 300.0  # for that, on this machine: torch alone may take a minute from a cold disk

PENDING = ("PENDING", "RESCHEDULING")  # of Ray's groups of resources


@dataclass(frozen=True)
class Seen:
    """State of a cluster, as Ray tells it."""

    total: Mapping[str, float]
    free: Mapping[str, float]
    drivers: Sequence[str]  # the other ones that are connected


def sentence(what: str, each: Mapping[str, float], seen: Seen) -> str:
    """Sentence on what is waited for; `each` is what one of it needs."""
    needs = {name: amount for name, amount in each.items() if amount}
    asked = " and ".join(f"{amount:g} {name}" for name, amount in needs.items())
    free = ", ".join(
        f"{seen.free.get(name, 0):g} of {seen.total.get(name, 0):g} {name}s are free" for name in needs
    )
    who = ", ".join(seen.drivers)
    others = f"other drivers on this cluster: {who}" if who else "`ray status` tells more"
    return f"waiting for {what} of {asked} each: {free}; {others}"


class StartWait:
    """Told a few times a second whether anything has begun; says what is waited for as long as not."""

    def __init__(self, what: str, each: Mapping[str, float], session: Session) -> None:
        """`what` is to begin, such as `3 ranks`; `each` are the resources that one of it needs."""
        self.what, self.session = what, session
        self.each = {name: amount for name, amount in each.items() if amount}
        self.since = self.looked = time.monotonic()
        self.begun = self.told = False
        self.asking: threading.Thread | None = None

    def look(self, *, begun: bool) -> None:
        """Say it where it is time. What had `begun` and has no longer is waited for anew.

        Raises:
            PipelineError: nothing has begun on this machine, which never will.
        """
        now = time.monotonic()
        if self.begun and not begun:
            self.since, self.told = now, False
        if begun != self.begun:
            self.begun, self.looked = begun, now
        if not (begun or self.session.joined) and now - self.since > MOST_SECONDS:
            raise PipelineError(
                f"{self.what}: none has begun within {MOST_SECONDS:.0f} s{ray_local.few_processes()}; "
                "run the command again"
            )
        pause = AGAIN_SECONDS if self.told and self.session.joined else FIRST_SECONDS
        busy = self.asking is not None and self.asking.is_alive()
        if self.begun or busy or now - self.looked < pause:
            return
        self.looked = now
        # In a thread: where Ray's servers are gone its answer takes a minute.
        self.asking = threading.Thread(
            target=self._say, args=(now - self.since,), name="waiting", daemon=True
        )
        self.asking.start()

    def _say(self, seconds: float) -> None:
        limit = "so far" if self.session.joined else f"of at most {MOST_SECONDS:.0f} s"
        try:
            # A Ray of this command's own has room, and where it hangs it gives no answer.
            if self.session.joined and self._is_pending():
                text = sentence(self.what, self.each, _seen())
            else:
                text = f"waiting for the processes of {self.what}{ray_local.few_processes()}"
        except Exception as error:  # Ray raises plain ones; nothing depends on this
            text = f"waiting for {self.what}; Ray does not tell what for ({type(error).__name__})"
        if not self.begun:
            self.told = True
            console.print(f"{text} ({seconds:.0f} s {limit})", soft_wrap=True, markup=False)

    def _is_pending(self) -> bool:
        """Whether Ray has a group of such resources that has no place yet."""
        groups = [group for group in placement_group_table().values() if group["state"] in PENDING]
        return any(dict(bundle) == self.each for group in groups for bundle in group["bundles"].values())


def _seen() -> Seen:
    return Seen(ray.cluster_resources(), ray.available_resources(), _drivers())


def _drivers() -> list[str]:
    """Other processes that use the cluster."""
    own = ray.get_runtime_context().get_job_id()
    jobs: list[dict[str, Any]] = ray._private.state.jobs()
    return [
        f"process {job['DriverPid']} on {job['DriverIPAddress']} ({_short(job['Entrypoint'])})"
        for job in jobs
        if not job["IsDead"] and job["JobID"] != own
    ]


def _short(command: str) -> str:
    """A command line, without folders."""
    words = " ".join(word.rpartition("/")[2] for word in command.split())
    return words if len(words) <= 60 else f"{words[:59]}…"
