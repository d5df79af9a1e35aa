"""How many ranks go on when a host has gone; Ray's nodes and the clock are stand-ins."""

from types import SimpleNamespace
from typing import Any

import pytest
from ray.train import ScalingConfig
from ray.train.v2._internal.execution.scaling_policy import NoopDecision

from pipeline.distributed.scaling import HOST_WAIT_SECONDS, WaitThenShrinkPolicy, ranks_that_fit

THREE = ("red", "green", "blue")


@pytest.mark.parametrize(
    ("nodes", "rank", "expected"),
    [
        ([{"CPU": 2.0}, {"CPU": 2.0}], {"CPU": 1.0}, 4),
        ([{"CPU": 2.0}], {"CPU": 0.6666}, 3),
        ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}], {"CPU": 1, "GPU": 1}, 2),
        ([{"CPU": 0.0}], {"CPU": 1.0, "GPU": 0}, 0),
        ([], {"CPU": 1.0}, 0),
    ],
)
def test_ranks_that_fit(nodes: list[dict[str, float]], rank: dict[str, float], expected: int) -> None:
    assert ranks_that_fit(nodes, rank) == expected


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The nodes that are up, and the time."""
    world = SimpleNamespace(nodes=[{"CPU": 2.0}, {"CPU": 2.0}], now=100.0)
    up = {"Alive": True}
    gone = {"Alive": False, "Resources": {"CPU": 64.0}}
    monkeypatch.setattr("ray.nodes", lambda: [gone, *({"Resources": node} | up for node in world.nodes)])
    monkeypatch.setattr("time.monotonic", lambda: world.now)
    monkeypatch.setattr(WaitThenShrinkPolicy, "_maybe_send_resource_request", lambda self: None)
    return world


def policy(ranks: int) -> WaitThenShrinkPolicy:
    asked: list[str] = []
    status = SimpleNamespace(
        asked=asked, starting=SimpleNamespace(remote=lambda: asked.append("a group is to start"))
    )
    wanted = ScalingConfig(num_workers=ranks, resources_per_worker={"CPU": 1.0})
    return WaitThenShrinkPolicy(wanted, THREE, status)


def decide(chosen: WaitThenShrinkPolicy) -> int | None:
    """Ranks that are to start; None: wait."""
    decision: Any = chosen.make_decision_for_non_running_worker_group()
    return None if isinstance(decision, NoopDecision) else decision.num_workers


def run(chosen: WaitThenShrinkPolicy) -> None:
    chosen.make_decision_for_running_worker_group(None, None)


def test_before_the_first_start_nothing_is_cut_down(world: SimpleNamespace) -> None:
    chosen = policy(3)
    world.nodes = []
    assert decide(chosen) == 3
    world.now += 10 * HOST_WAIT_SECONDS
    assert decide(chosen) == 3


def test_while_there_is_no_group_the_driver_is_told(world: SimpleNamespace) -> None:
    chosen = policy(3)
    decide(chosen)
    run(chosen)
    assert len(chosen.status.asked) == 1
    world.nodes = []
    decide(chosen)
    assert len(chosen.status.asked) == 2


def test_a_spare_within_a_minute_keeps_the_ranks(world: SimpleNamespace) -> None:
    chosen = policy(3)
    run(chosen)
    world.nodes = [{"CPU": 2.0}]
    assert decide(chosen) is None
    world.now += HOST_WAIT_SECONDS - 1
    assert decide(chosen) is None
    world.nodes = [{"CPU": 2.0}, {"CPU": 4.0}]
    assert decide(chosen) == 3


def test_after_a_minute_it_goes_on_with_what_there_is(world: SimpleNamespace) -> None:
    chosen = policy(3)
    run(chosen)
    world.nodes = [{"CPU": 2.0}]
    assert decide(chosen) is None
    world.now += HOST_WAIT_SECONDS
    assert decide(chosen) == 2
    # The next host that goes is waited for anew.
    run(chosen)
    world.nodes = [{"CPU": 1.0}]
    assert decide(chosen) is None
    world.now += HOST_WAIT_SECONDS
    assert decide(chosen) == 1


def test_no_rank_is_started_that_has_nothing_to_do(world: SimpleNamespace) -> None:
    chosen = policy(6)
    run(chosen)
    world.nodes = [{"CPU": 5.0}]
    decide(chosen)
    world.now += HOST_WAIT_SECONDS
    assert decide(chosen) == 3


def test_with_no_host_left_it_waits(world: SimpleNamespace) -> None:
    chosen = policy(3)
    run(chosen)
    world.nodes = []
    decide(chosen)
    world.now += 100 * HOST_WAIT_SECONDS
    assert decide(chosen) is None
