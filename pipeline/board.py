"""The notice board between ranks and driver: progress, and failures that no retry would mend."""

from dataclasses import dataclass, field

import ray

from vae.record import Record


@dataclass(frozen=True)
class Notice:
    """One rank after one epoch."""

    records: list[Record]  # of this epoch and the rank's components: train, and validation if there is one
    images_per_second: float  # of each of its components


@dataclass
class Board:
    """What the driver reads. `starts` counts how often the gang started: more than once after a failure."""

    starts: int = 0
    first_epoch: int = 1  # where the gang set out from, this time
    plan: str = ""  # who trains what, this time
    notices: list[Notice] = field(default_factory=list)  # new since the last reading
    failure: str = ""


@ray.remote(num_cpus=0)
class BoardActor:
    """A Board that every rank may write on; calls from one rank arrive in its order."""

    def __init__(self) -> None:
        self.board = Board()

    def started(self, first_epoch: int, plan: str) -> None:
        self.board.starts += 1
        self.board.first_epoch, self.board.plan = first_epoch, plan

    def post(self, notice: Notice) -> None:
        self.board.notices.append(notice)

    def failed(self, message: str) -> None:
        self.board.failure = self.board.failure or message

    def read(self) -> Board:
        """The board as it is; its notices are handed out once."""
        board, self.board = self.board, Board(**{**vars(self.board), "notices": []})
        return board
