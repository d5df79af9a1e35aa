"""What a rank does with its epochs, without Ray: a gloo group of one, and a board that remembers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from ray.train.v2.api.exceptions import ControllerError
from torch import distributed as dist

from pipeline.distributed import trainer, worker
from pipeline.distributed.placement import Assignment, request_ranks
from pipeline.distributed.ray_session import Session
from pipeline.distributed.status import EpochReport, StatusActor, TrainingStatus
from pipeline.distributed.view import TrainingView
from pipeline.runs.checkpoints import Checkpoints
from tests.helpers.fits import MODEL, TRAIN, fresh, images
from tests.helpers.models import row
from vae.fit import fit
from vae.metrics import EpochMetrics

SHARE = Assignment(("red", "green"))


class Remembering:
    """A status actor whose `post.remote` works in this process."""

    def __init__(self) -> None:
        self.reports: list[EpochReport] = []
        self.post = self

    def remote(self, report: EpochReport) -> None:
        self.reports.append(report)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def follow(folder: Path, seconds: float, status: Any) -> list[str]:
    """Fit red and green; the checkpoints that are there in the end."""
    config = worker.RankConfig(
        "run", str(folder), "", SHARE.components, row(20), MODEL, TRAIN, {}, seconds, status
    )
    epochs = fit(images("red", "green"), fresh("red", "green"), TRAIN)
    worker._run_epochs(config, Checkpoints(str(folder), "run", SHARE.components), SHARE, epochs, 1, 60)
    return sorted(path.name for path in (folder / "run").iterdir())


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    ("seconds", "kept"), [(0.0, ["epoch-000003", "epoch-000004"]), (1e9, ["epoch-000001", "epoch-000004"])]
)
def test_checkpoints_are_as_far_apart_as_was_asked_for(
    tmp_path: Path, seconds: float, kept: list[str]
) -> None:
    """The first epoch and the last are always kept; two are, once there are more."""
    status = Remembering()
    assert follow(tmp_path, seconds, status) == kept
    posted = [report.records[0].epoch for report in status.reports]
    assert posted[0] == 1
    assert posted[-1] == TRAIN.epochs


def test_the_last_of_too_many_failures_is_one_line() -> None:
    class GroupError(Exception):
        def __init__(self) -> None:
            super().__init__("pages\nand pages")
            self.worker_failures = {1: ValueError("deep\nConnectionResetError: peer"), 2: ValueError("b")}

    said = trainer._explain(GroupError())
    assert said.startswith("training failed once too often (see --max-failures), last on rank 1: Connection")
    assert "\n" not in said
    other = trainer._explain(RuntimeError("The actor died.\npages"))
    assert other.startswith("Ray lost a process that training needs: The actor died; checkpoints are kept")


def test_ranks_that_cannot_be_started_are_given_up_on_this_machine_alone() -> None:
    pages = "The actor died.\n  File x\nOSError: [Errno 5] Input/output error: '/w'\n"
    assert trainer._explain(ControllerError(RuntimeError(pages))) == (
        "the ranks cannot be started: OSError: [Errno 5] Input/output error: '/w'; "
        "checkpoints are kept, and the same command goes on from them"
    )
    assert trainer._failures(3, Session(joined=False)).controller_failure_limit == trainer.START_TRIES
    assert trainer._failures(3, Session(joined=True)).controller_failure_limit == -1


def test_what_people_read_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.distributed.placement import ClusterResources

    asked = request_ranks(("red", "green", "blue"), ClusterResources((2.0,), (0,), 0), None, None)
    report = EpochReport([EpochMetrics("red", 8, "train", 640.0, 634.0, 6.0)], 18_000.0)
    with TrainingView("abc", asked, 8, 3) as view:
        view.show(TrainingStatus(starts=1, first_epoch=5))
        view.show(TrainingStatus(starts=2, first_epoch=7, reports=[report]))
        view.show(TrainingStatus(starts=3, first_epoch=7, plan="red+green | blue", ranks=2))
        view.show(TrainingStatus(starts=4, first_epoch=7, plan="red | green | blue", ranks=3))
        view.show(TrainingStatus(starts=5, first_epoch=7, plan="red | green | blue", ranks=3))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "run abc: starting 3 CPU ranks for red | green | blue",
        "going on from the checkpoint of epoch 4",
        "a rank failed: restart 1 of 3, from epoch 7",
        "red    epoch 8/8  cost 640.00  18,000 images/s",
        "a rank failed: restart 2 of 3, from epoch 7",
        "a host is gone, and none came in its place: now red+green | blue",
        "a rank failed: restart 3 of 3, from epoch 7",
        "a host has come: now red | green | blue",
        "a rank failed: restart 4, from epoch 7",
    ]


def test_a_group_is_due_until_it_has_started_and_again_when_it_has_failed() -> None:
    board = cast(Any, StatusActor).__ray_metadata__.modified_class()
    assert (board.read().starts, board.read().due) == (0, 1)
    board.started(1, "red", 1)
    assert (board.read().starts, board.read().due) == (1, 1)
    for _ in range(2):  # Ray's controller asks until there is room
        board.starting()
    assert (board.read().starts, board.read().due) == (1, 2)
    board.started(5, "red", 1)
    assert (board.read().starts, board.read().due) == (2, 2)
