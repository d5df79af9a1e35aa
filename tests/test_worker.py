"""What a rank does with its epochs, without Ray: a gloo group of one, and a board that remembers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from models import row
from test_fit import MODEL, TRAIN, fresh, images
from torch import distributed as dist

from pipeline import gang, worker
from pipeline.board import Board, Notice
from pipeline.checkpoints import Checkpoints
from pipeline.errors import PipelineError
from pipeline.placement import Share, request
from pipeline.training_view import TrainingView
from vae.fit import Epoch, fit
from vae.record import Record

SHARE = Share(("red", "green"))


class Remembering:
    """A board whose `post.remote` works in this process."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.post = self

    def remote(self, notice: Notice) -> None:
        self.notices.append(notice)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def follow(folder: Path, seconds: float, board: Any) -> list[str]:
    """Fit red and green; the checkpoints that are there in the end."""
    job = worker.Job("run", str(folder), "", SHARE.components, row(20), MODEL, TRAIN, {}, seconds, board)
    checkpoints = Checkpoints(str(folder), "run", SHARE.components)
    worker._follow(job, checkpoints, SHARE, fit(images("red", "green"), fresh("red", "green"), TRAIN), 60)
    return sorted(path.name for path in (folder / "run").iterdir())


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("seconds", "kept"), [(0.0, ["epoch-000003", "epoch-000004"]), (1e9, ["epoch-000001", "epoch-000004"])]
)
def test_checkpoints_are_as_far_apart_as_was_asked_for(
    tmp_path: Path, seconds: float, kept: list[str]
) -> None:
    """The first epoch and the last are always kept; two are, once there are more."""
    board = Remembering()
    assert follow(tmp_path, seconds, board) == kept
    posted = [notice.records[0].epoch for notice in board.notices]
    assert posted[0] == 1
    assert posted[-1] == TRAIN.epochs


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        MemoryError("Unable to allocate 3.2 GiB"),
    ],
)
def test_a_full_memory_is_named_with_its_components_and_epoch(error: Exception) -> None:
    def epochs() -> Iterator[Epoch]:
        yield Epoch(7, [], list)
        raise error

    with pytest.raises(PipelineError, match=r"while training red\+green, epoch 8 \(.*\); try more ranks"):
        list(worker._named(epochs(), SHARE, 7))
    assert PipelineError in worker.FINAL


def test_other_errors_pass_as_they_are() -> None:
    def epochs() -> Iterator[Epoch]:
        raise RuntimeError("connection reset by peer")
        yield

    with pytest.raises(RuntimeError, match="connection reset by peer"):
        list(worker._named(epochs(), SHARE, 1))


def test_the_last_of_too_many_failures_is_one_line() -> None:
    class GroupError(Exception):
        def __init__(self) -> None:
            super().__init__("pages\nand pages")
            self.worker_failures = {1: ValueError("deep\nConnectionResetError: peer"), 2: ValueError("b")}

    said = gang._explained(GroupError())
    assert said.startswith("training failed once too often (see --max-failures), last on rank 1: Connection")
    assert "\n" not in said
    other = gang._explained(RuntimeError("The actor died.\npages"))
    assert other.startswith("Ray lost a process that training needs: The actor died; checkpoints are kept")


def test_what_people_read_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.placement import Offer

    asked = request(("red", "green", "blue"), Offer((2.0,), (0,), 0), None, None)
    notice = Notice([Record("red", 8, "train", 640.0, 634.0, 6.0)], 18_000.0)
    with TrainingView("abc", asked, 8, 3) as view:
        view.show(Board(starts=1, first_epoch=5))
        view.show(Board(starts=2, first_epoch=7, notices=[notice]))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "run abc: starting 3 CPU ranks for red | green | blue",
        "going on from the checkpoint of epoch 4",
        "a rank failed: restart 1 of 3, from epoch 7",
        "red    epoch 8/8  cost 640.00  18,000 images/s",
    ]
