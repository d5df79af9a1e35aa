"""Rounds in turns, the better way of each entrant, and the check of costs."""

import math
from collections.abc import Sequence

import pytest

from bench import contest
from bench.entrant import Job
from bench.race import Measured

JOB = Job("engine", "images.npy", 73_257, (0,), 100, 1, "cpu", 1)
WAYS = {"in turn": [JOB], "side by side": [JOB, JOB]}
COSTS = {73_257: {0: 638.0}}


def measured(speed: float, cost: float = 638.0) -> Measured:
    return Measured(speed, 2**20, {0: cost}, start=speed / 10)


def test_the_better_way_has_the_higher_median() -> None:
    found = {"in turn": [measured(9), measured(1), measured(10)], "side by side": [measured(8), measured(99)]}
    assert contest.better({"in turn": found["in turn"], "side by side": [measured(8)]}) == "in turn"
    assert contest.better(found) == "side by side"


def test_a_way_that_is_far_behind_is_not_tried_again() -> None:
    assert contest.hopeful(WAYS, {}) == ["in turn", "side by side"]
    near = {"in turn": [measured(9.1)], "side by side": [measured(10)]}
    assert contest.hopeful(WAYS, near) == ["in turn", "side by side"]
    assert contest.hopeful(WAYS, near | {"in turn": [measured(8.9)]}) == ["side by side"]


def test_entrants_take_turns_and_a_row_is_of_the_better_way() -> None:
    turns: list[str] = []
    speeds = iter([30, 10, 20, 50, 21, 40, 25])

    def race(jobs: Sequence[Job]) -> Measured:
        turns.append(f"{jobs[0].kind} {len(jobs)}")
        return measured(next(speeds))

    field = {
        "vaepipe": {"a process a channel": [JOB]},
        "JAX": {name: [Job("jax", *list(vars(JOB).values())[1:])] * n for n, name in enumerate(WAYS, 1)},
    }
    own, other = contest.contest("here", field, 3, COSTS, race)
    first, later = ["engine 1", "jax 1", "jax 2"], ["engine 1", "jax 2"]
    assert turns == [*first, *later, *later]
    assert (own.images_per_second, own.way, own.setting, own.start) == (40, "a process a channel", "here", 5)
    assert (other.images_per_second, other.way, other.entrant) == (21, "side by side", "JAX")
    assert (other.cost, other.images, other.batch_size) == (638.0, 73_257, 100)


@pytest.mark.parametrize("cost", [632.9, 643.1, math.nan, math.inf])
def test_another_cost_ends_the_run(cost: float) -> None:
    with pytest.raises(contest.AnotherCost, match=r"textbook: channel 0 costs .* the engine's 638.00"):
        contest.contest("here", {"textbook": {"alone": [JOB]}}, 1, COSTS, lambda _: measured(1, cost))


def test_costs_of_few_images_are_held_less_narrowly() -> None:
    few = {"alone": [Job(*[{"count": 2_000}.get(name, value) for name, value in vars(JOB).items()])]}
    [row] = contest.contest("here", {"x": few}, 1, {2_000: {0: 638.0}}, lambda _: measured(1, 650.0))
    assert row.cost == 650.0


def test_the_engine_says_what_each_number_of_images_costs() -> None:
    expected = contest.references([JOB], [100, 300], lambda jobs: measured(1, jobs[0].count))
    assert expected == {100: {0: 100}, 300: {0: 300}}
