"""What a person sees while they wait: bars on a terminal, single lines elsewhere."""

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

# Progress is for people; standard output stays free for what a program may read.
console = Console(stderr=True, highlight=False)


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
