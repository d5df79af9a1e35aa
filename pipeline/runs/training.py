"""Training with checkpoints: one loop for the ranks of `vaepipe train` and for trials."""

import time
from collections.abc import Callable, Iterator, Sequence

from pipeline.common.errors import PipelineError, is_out_of_memory, one_line
from vae.fit import Epoch


class OutOfMemory(PipelineError):
    """The memory of a device or of the host does not suffice for these parameters; no retry would mend it."""


def train_with_checkpoints(
    epochs: Iterator[Epoch],
    components: Sequence[str],
    first: int,
    last: int,
    checkpoint_seconds: float,
    save: Callable[[Epoch, float], float],
) -> Iterator[tuple[Epoch, float]]:
    """Yield each epoch of `vae.fit` with the seconds that it took; then save it, if a checkpoint is due.

    One is due after the `first` epoch and the `last`, and between them `checkpoint_seconds` apart, or an
    epoch where that is longer. An epoch is yielded before it is saved: what is needed of it is kept first.

    Args:
        save: writes a checkpoint of an epoch, and is told in how many seconds this process trained it.
            Returns in how many the slowest of all processes did, so all of them save after the same epochs.

    Raises:
        OutOfMemory: one line that names the components and the epoch.
        PipelineError: as `save` does.
    """
    due, started = first, time.monotonic()
    for epoch in _explain_out_of_memory(epochs, components, first):
        seconds = time.monotonic() - started
        yield epoch, seconds
        if epoch.number >= due or epoch.number == last:
            due = epoch.number + max(1, int(checkpoint_seconds / save(epoch, seconds)))
        started = time.monotonic()


def _explain_out_of_memory(epochs: Iterator[Epoch], components: Sequence[str], first: int) -> Iterator[Epoch]:
    number = first
    try:
        for epoch in epochs:
            yield epoch
            number = epoch.number + 1
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"out of memory while training {'+'.join(components)}, epoch {number} "
            f"({one_line(error)}); try more ranks, a smaller train.batch_size or model.hidden"
        ) from error
