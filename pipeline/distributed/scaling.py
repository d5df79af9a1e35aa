"""Scaling when a host is lost: wait a minute for another, then go on with as many ranks as fit.

Where no host is large enough for even one rank, it waits without end: a run is never given up for want of
hosts. What others do on the cluster is not looked at: a host's room is all that it has. Where others use
that, Ray waits for them, a minute at a time and without end, with as many ranks as were decided on.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.train import ScalingConfig
from ray.train.v2._internal.execution.scaling_policy import (
    FixedScalingPolicy,
    NoopDecision,
    ResizeDecision,
    ScalingDecision,
)
from ray.train.v2._internal.execution.worker_group import WorkerGroupPollStatus, WorkerGroupState

from pipeline.distributed import placement

HOST_WAIT_SECONDS = 60.0  # for a spare host to come, or the lost one to come back


def ranks_that_fit(nodes: Sequence[Mapping[str, float]], rank: Mapping[str, float]) -> int:
    """Ranks that nodes with these resources have room for, were nobody else there. rank: what one needs."""
    needs = {name: amount for name, amount in rank.items() if amount > 0}
    return sum(
        min(int(node.get(name, 0) / amount + 1e-9) for name, amount in needs.items()) for node in nodes
    )


class WaitThenShrinkPolicy(FixedScalingPolicy):  # type: ignore[misc]  # Ray is not typed
    """Lives in Ray Train's controller.

    Before the first start it waits as Ray does: an autoscaler may be at work. Later it looks at the nodes
    that are up. Ray notices at once that a node says goodbye, but of one that falls silent after a minute.
    """

    def __init__(self, scaling_config: ScalingConfig, components: Sequence[str], status: Any) -> None:
        """`status` is the StatusActor."""
        super().__init__(scaling_config)
        self.components, self.status = tuple(components), status
        self.has_run = False
        self.short_since: float | None = None

    def make_decision_for_running_worker_group(
        self, worker_group_state: WorkerGroupState, worker_group_status: WorkerGroupPollStatus
    ) -> ScalingDecision:
        self.has_run, self.short_since = True, None
        return super().make_decision_for_running_worker_group(worker_group_state, worker_group_status)

    def make_decision_for_non_running_worker_group(self) -> ScalingDecision:
        self.status.starting.remote()  # so that the driver says what it waits for
        decision: ResizeDecision = super().make_decision_for_non_running_worker_group()
        if not self.has_run:
            return decision
        # All that nodes have, not what is free: the ranks that are left hold their places until this decides.
        up = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        room = ranks_that_fit(up, decision.resources_per_worker)
        if room >= decision.num_workers:
            return decision
        now = time.monotonic()
        self.short_since = self.short_since or now
        if not room:
            return NoopDecision()
        if now - self.short_since < HOST_WAIT_SECONDS:
            return NoopDecision()
        # Without those that would have nothing to do.
        shares = len(placement.plan(self.components, room).assignments)
        return ResizeDecision(num_workers=shares, resources_per_worker=decision.resources_per_worker)
