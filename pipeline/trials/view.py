"""Display of trials that run, as Tune counts them (see `tuner`): one table on a terminal, lines elsewhere."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

from rich import box
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from pipeline.common import wording
from pipeline.common.progress import console

State = Literal["waiting", "running", "finished", "stopped", "failed"]

# In which order the table has them.
ORDER: tuple[State, ...] = ("running", "failed", "finished", "stopped", "waiting")
STATE_COLORS: Mapping[State, str] = {
    "running": "cyan",
    "finished": "green",
    "failed": "red",
    "stopped": "yellow",
    "waiting": "dim",
}


@dataclass
class Line:
    """One trial, as it is shown."""

    label: str
    epochs: int  # that it will have
    state: State = "waiting"
    epoch: int = 0
    cost: str = ""
    seconds: float = 0.0  # of training, so far
    said: float = 0.0  # when a line was printed of it

    @property
    def left(self) -> float | None:
        """Seconds; None where nothing is known."""
        return (self.epochs - self.epoch) * self.seconds / self.epoch if self.epoch and self.seconds else None


class TrialsView:
    """Every trial's state, epoch, cost and time left. Told from any thread."""

    LINE_SECONDS = 10.0  # between two lines of one trial, where there is no terminal

    def __init__(self, title: str, at_once: int, count: int) -> None:
        """`at_once`: how many trials run side by side; `count`: how many there will be, for the time left."""
        self.title, self.at_once, self.count = title, max(1, at_once), count
        self.lines: dict[str, Line] = {}
        self.lock = threading.Lock()
        self.live = Live(
            get_renderable=self.table,
            console=console,
            refresh_per_second=4,
            transient=True,
            auto_refresh=True,
        )

    def __enter__(self) -> Self:
        if console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if console.is_terminal:
            self.live.stop()

    def add(self, name: str, label: str, epochs: int) -> None:
        with self.lock:
            self.lines[name] = Line(label, epochs)

    def start(self, name: str) -> None:
        self._become(name, "running")
        self._say(name, "started")

    def report(self, name: str, epoch: int, cost: str, seconds: float) -> None:
        with self.lock:
            line = self.lines[name]
            line.epoch, line.cost, line.seconds = epoch, cost, seconds
        if not console.is_terminal and time.monotonic() - line.said >= self.LINE_SECONDS:
            left = f"  {wording.duration(line.left)} left" if line.left else ""
            self._say(name, f"epoch {epoch}/{line.epochs}  {cost}{left}")

    def end(self, name: str, state: State, text: str) -> None:
        self._become(name, state)
        self._say(name, text)

    def again(self, name: str, reason: str) -> None:
        self._become(name, "waiting")
        console.print(f"{self.lines[name].label}  failed, and is tried again: {reason}", markup=False)

    def table(self) -> Table:
        """The trials, those that run first, no more than the terminal has room for."""
        with self.lock:
            lines = sorted(self.lines.values(), key=lambda line: ORDER.index(line.state))
        counts = ", ".join(
            f"{sum(line.state == state for line in lines)} {state}"
            for state in ORDER
            if any(line.state == state for line in lines)
        )
        left = self._left(lines)
        title = f"{self.title}: {counts}" + (f", about {wording.duration(left)} left" if left else "")
        table = Table(
            title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
        )
        for column in ("trial", "state", "epoch", "cost (validation)", "left"):
            table.add_column(column, justify="left" if column in ("trial", "state") else "right")
        room = max(4, console.height - 6)
        for line in lines[:room]:
            epoch = f"{line.epoch}/{line.epochs}" if line.epoch else ""
            running = line.state == "running"
            state = f"[{STATE_COLORS[line.state]}]{line.state}[/]"
            table.add_row(
                escape(line.label),
                state,
                epoch,
                line.cost,
                wording.duration(line.left) if running and line.left else "",
            )
        if len(lines) > room:
            table.add_row(f"and {len(lines) - room} more", "", "", "", "")
        return table

    def _left(self, lines: list[Line]) -> float | None:
        rates = [line.seconds / line.epoch for line in lines if line.epoch and line.seconds]
        if not rates:
            return None
        epochs = sum(line.epochs - line.epoch for line in lines if line.state in ("running", "waiting"))
        epochs += max(0, self.count - len(lines)) * lines[0].epochs
        return epochs * sum(rates) / len(rates) / self.at_once

    def _become(self, name: str, state: State) -> None:
        with self.lock:
            self.lines[name].state = state

    def _say(self, name: str, text: str) -> None:
        """A line where there is no terminal; there, the table says it."""
        self.lines[name].said = time.monotonic()
        if not console.is_terminal:
            console.print(f"{self.lines[name].label}  {text}", soft_wrap=True, markup=False)
