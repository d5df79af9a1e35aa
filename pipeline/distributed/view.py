"""Display of a training run."""

import time
from typing import Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pipeline.common.progress import console
from pipeline.distributed.placement import RankRequest
from pipeline.distributed.status import TrainingStatus
from vae.metrics import EpochMetrics


class TrainingView:
    """Progress of a training: each component's epoch, cost, speed and time left.

    A row each on a terminal; elsewhere now and then a line.
    """

    LINE_SECONDS = 5.0  # between two lines of one component, where there is no terminal

    def __init__(self, run: str, request: RankRequest, epochs: int, max_failures: int) -> None:
        self.run, self.request, self.epochs, self.max_failures = run, request, epochs, max_failures
        self.starts = 0
        self.ranks = len(request.plan.assignments)
        self.live = console.is_terminal
        self.tasks: dict[str, TaskID] = {}
        self.said: dict[str, float] = {}
        columns = (
            TextColumn("{task.description:<6}"),
            BarColumn(bar_width=24),
            TextColumn("epoch {task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[cost]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
        )
        self.progress = Progress(*columns, console=console, disable=not self.live)

    def __enter__(self) -> Self:
        ranks = len(self.request.plan.assignments)
        kind = "GPU" if self.request.gpus_per_rank else "CPU"
        console.print(
            f"run {self.run}: starting {ranks} {kind} rank{'s' * (ranks > 1)} for {self.request.plan}"
        )
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def show(self, status: TrainingStatus) -> None:
        """Draw what is new in the status."""
        if status.starts > self.starts:
            self._restarted(status)
        for report in status.reports:
            for record in report.records:
                if record.split == "train":
                    held_out = [
                        r.cost
                        for r in report.records
                        if (r.component, r.split) == (record.component, "validation")
                    ]
                    self._component(record, held_out, report.images_per_second)

    def _restarted(self, status: TrainingStatus) -> None:
        if self.starts:
            restart = status.starts - 1
            # Ray does not charge everything to that limit, such as a host whose end was announced.
            most = f" of {self.max_failures}" if restart <= self.max_failures else ""
            console.print(f"a rank failed: restart {restart}{most}, from epoch {status.first_epoch}")
        elif status.first_epoch > 1:
            console.print(f"going on from the checkpoint of epoch {status.first_epoch - 1}")
        if status.ranks and status.ranks != self.ranks:
            more = status.ranks > self.ranks
            what = "a host has come" if more else "a host is gone, and none came in its place"
            console.print(f"{what}: now {status.plan}")
            self.ranks = status.ranks
        self.starts = status.starts

    def _component(self, record: EpochMetrics, held_out: list[float], images_per_second: float) -> None:
        cost = f"cost {record.cost:.2f}" + "".join(f" (validation {v:.2f})" for v in held_out)
        speed = f"{images_per_second:,.0f} images/s"
        if self.live:
            if record.component not in self.tasks:
                self.tasks[record.component] = self.progress.add_task(
                    record.component, total=self.epochs, cost=cost, speed=speed
                )
            self.progress.update(self.tasks[record.component], completed=record.epoch, cost=cost, speed=speed)
            return
        now = time.monotonic()
        last = record.epoch == self.epochs
        if last or now - self.said.get(record.component, -self.LINE_SECONDS) >= self.LINE_SECONDS:
            self.said[record.component] = now
            console.print(f"{record.component:<6} epoch {record.epoch}/{self.epochs}  {cost}  {speed}")
