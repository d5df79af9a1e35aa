"""Progress for people who wait: bars on a terminal, single lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

WHOLE = 10_000  # columns: where there is no terminal, lines are whole, for grep and for logs


def _console(stderr: bool) -> Console:
    found = Console(stderr=stderr, highlight=False)
    if not found.is_terminal:
        found.width = WHOLE
    return found


def output() -> Console:
    """Standard output, for what a command is asked for."""
    return _console(stderr=False)


# Progress is for people; standard output stays free for what a program may read.
console = _console(stderr=True)

Unit = Literal["images", "photos", "bytes", "steps"]


@contextmanager
def bar(title: str, total: int, unit: Unit) -> Iterator[Callable[[int], None]]:
    """Yield a function that is called with the amount that was done; say so when all is done."""
    amount: list[ProgressColumn] = (
        [DownloadColumn(), TransferSpeedColumn()] if unit == "bytes" else [MofNCompleteColumn()]
    )
    columns = [TextColumn("{task.description}"), BarColumn(), *amount, TimeRemainingColumn()]
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.advance(task, done)
    if not console.is_terminal:
        console.print(f"{title}: {total:,} {unit}")
