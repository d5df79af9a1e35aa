"""Progress and non-retryable errors, sent from ranks to the driver."""

from dataclasses import dataclass, field

import ray

from vae.metrics import EpochMetrics


@dataclass(frozen=True)
class EpochReport:
    """One rank after one epoch."""

    # Of this epoch and the rank's components: train, and validation if there is one.
    records: list[EpochMetrics]
    images_per_second: float  # of each of its components


@dataclass
class TrainingStatus:
    """State of the worker group, as the driver reads it."""

    starts: int = 0  # of the group: more than one after a failure
    due: int = 1  # starts that there are to be: more than there were while the group is waited for
    first_epoch: int = 1  # that the group trained since its last start
    plan: str = ""  # who trains what since then, as text
    ranks: int = 0  # of that plan
    reports: list[EpochReport] = field(default_factory=list)  # new since the last reading
    failure: str = ""  # one line, of an error that no retry would mend


@ray.remote(num_cpus=0)
class StatusActor:
    """Holds the TrainingStatus. Every rank may write to it; calls from one rank arrive in its order."""

    def __init__(self) -> None:
        self.status = TrainingStatus()

    def starting(self) -> None:
        """Ray's controller has no group, and is to start one."""
        self.status.due = self.status.starts + 1

    def started(self, first_epoch: int, plan: str, ranks: int) -> None:
        self.status.starts += 1
        self.status.first_epoch, self.status.plan, self.status.ranks = first_epoch, plan, ranks

    def post(self, report: EpochReport) -> None:
        self.status.reports.append(report)

    def failed(self, message: str) -> None:
        self.status.failure = self.status.failure or message

    def read(self) -> TrainingStatus:
        """The status as it is; each report is handed out once."""
        status, self.status = self.status, TrainingStatus(**{**vars(self.status), "reports": []})
        return status
