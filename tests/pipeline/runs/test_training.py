"""The loop of epochs and checkpoints, without Ray: what ends it, and when checkpoints are due."""

from collections.abc import Iterator

import pytest
import torch

from pipeline.distributed import worker
from pipeline.runs.training import OutOfMemory, train_with_checkpoints
from vae.fit import Epoch


@pytest.mark.parametrize(
    ("slowest", "due"), [(1.0, [3, 5, 7, 9, 10]), (9.0, [3, 4, 5, 6, 7, 8, 9, 10]), (0.1, [3, 10])]
)
def test_checkpoints_are_due_by_the_slowest(slowest: float, due: list[int]) -> None:
    saved = []

    def save(epoch: Epoch, seconds: float) -> float:
        saved.append(epoch.number)
        return slowest

    epochs = (Epoch(number, [], list) for number in range(3, 11))
    for epoch, _ in train_with_checkpoints(epochs, ("red",), 3, 10, 2.0, save):
        assert epoch.number not in saved  # whoever takes an epoch comes first
    assert saved == due


def test_what_no_retry_would_mend_is_told() -> None:
    assert issubclass(OutOfMemory, worker.NOT_RETRIED)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        MemoryError("Unable to allocate 3.2 GiB"),
        MemoryError(),
    ],
)
def test_a_full_memory_is_named_with_its_components_and_epoch(error: Exception) -> None:
    def epochs() -> Iterator[Epoch]:
        yield Epoch(7, [], list)
        raise error

    with pytest.raises(OutOfMemory, match=r"while training red\+green, epoch 8 \(.*\); try more ranks"):
        list(train_with_checkpoints(epochs(), ("red", "green"), 7, 9, 1e9, lambda _, seconds: seconds))


def test_other_errors_pass_as_they_are() -> None:
    def epochs() -> Iterator[Epoch]:
        raise RuntimeError("connection reset by peer")
        yield

    with pytest.raises(RuntimeError, match="connection reset by peer"):
        list(train_with_checkpoints(epochs(), ("red",), 1, 9, 1e9, lambda _, seconds: seconds))
