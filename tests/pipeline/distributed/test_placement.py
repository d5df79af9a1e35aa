import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import PipelineError
from pipeline.distributed.placement import (
    ClusterResources,
    autoscaler_notice,
    cpu_share,
    plan,
    request_ranks,
)
from pipeline.distributed.ray_session import autoscaler_gpus
from tests.helpers.checkout import ROOT

RGB = ("red", "green", "blue")


@pytest.mark.parametrize(
    ("ranks", "said", "unused"),
    [
        (1, "red+green+blue", 0),
        (2, "red+green | blue", 0),
        (3, "red | green | blue", 0),
        (4, "red | green | blue", 1),
        (6, "red x2 | green x2 | blue x2", 0),
        (10, "red x3 | green x3 | blue x3", 1),
    ],
)
def test_who_trains_what(ranks: int, said: str, unused: int) -> None:
    chosen = plan(RGB, ranks)
    assert (str(chosen), chosen.unused) == (said, unused)
    assert len(chosen.assignments) == ranks - unused


@given(st.integers(1, 12), st.integers(1, 40))
def test_every_component_is_trained_by_equally_many_whole_sets_of_replicas(count: int, ranks: int) -> None:
    components = [f"c{i}" for i in range(count)]
    chosen = plan(components, ranks)
    assert [c for s in chosen.assignments if s.replica == 0 for c in s.components] == components
    sizes = [len(share.components) for share in chosen.assignments]
    assert max(sizes) - min(sizes) <= 1
    for ranks_of_one in chosen.replica_ranks():
        shares = [chosen.assignments[r] for r in ranks_of_one]
        assert [s.replica for s in shares] == list(range(shares[0].replicas))


def offer(cpus: tuple[float, ...] = (2.0,), gpus: int = 0, limit: int | None = None) -> ClusterResources:
    return ClusterResources(cpus, (gpus,) + (0,) * (len(cpus) - 1), gpus if limit is None else limit)


def test_without_gpus_a_cpu_rank_a_component() -> None:
    asked = request_ranks(RGB, offer(), gpus=None, workers=None)
    assert (str(asked.plan), asked.gpus_per_rank) == ("red | green | blue", 0)
    assert asked.cpus_per_rank == pytest.approx(2 / 3, abs=1e-3)


def test_auto_takes_the_gpus_that_are_of_use() -> None:
    assert len(request_ranks(RGB, offer(gpus=8), None, None).plan.assignments) == 3
    assert len(request_ranks(RGB, offer(gpus=2), None, None).plan.assignments) == 2
    # None is up yet, but an autoscaler may start two.
    assert request_ranks(RGB, offer(gpus=0, limit=2), None, None).gpus_per_rank == 1


def test_more_gpus_than_components_make_replicas_when_asked_for() -> None:
    assert len(request_ranks(RGB, offer(gpus=8), 8, None).plan.assignments) == 6


@pytest.mark.parametrize(
    ("gpus", "workers", "there", "said"),
    [
        (3, None, offer(), r"--gpus 3: there are no GPUs here .*; give --gpus 0 for the CPU, or --gpus auto"),
        (3, None, offer(gpus=1), r"--gpus 3: there is 1 GPU here .* at most 1"),
        (4, None, offer(gpus=0, limit=3), r"--gpus 4: there are 3 GPUs here"),
        (1, 2, offer(gpus=1), r"--gpus and --workers exclude each other"),
        (0, 4, offer(), r"--workers 4: there are 2 CPU cores here.*at most 3"),
        (None, 2, offer(cpus=(0.0,)), r"no node of the cluster offers a CPU"),
    ],
)
def test_what_can_never_be_had_is_refused(
    gpus: int | None, workers: int | None, there: ClusterResources, said: str
) -> None:
    with pytest.raises(PipelineError, match=said):
        request_ranks(RGB, there, gpus, workers)


def test_workers_choose_the_cpu_though_there_are_gpus() -> None:
    asked = request_ranks(RGB, offer(cpus=(8.0,), gpus=4), gpus=None, workers=2)
    assert (len(asked.plan.assignments), asked.gpus_per_rank, asked.cpus_per_rank) == (2, 0, 1)


@given(st.lists(st.integers(0, 16).map(float), min_size=1, max_size=5), st.integers(1, 20))
def test_shares_of_a_cpu_fit_on_the_nodes(nodes: list[float], ranks: int) -> None:
    if not any(nodes):
        return
    share = cpu_share(nodes, ranks)
    assert 0 < share <= 1
    assert sum(int(cpus / share) for cpus in nodes) >= ranks


def test_a_share_that_fits_in_sum_but_on_no_node_is_not_taken() -> None:
    """Two nodes of one CPU hold no three ranks of two thirds."""
    assert cpu_share((1.0, 1.0), 3) == 0.5


@pytest.mark.parametrize(
    ("cpus", "gpus", "limit", "asked", "share"),
    [
        ((2.0,), (3,), 3, 3, 0.6666),  # three GPUs and two cores
        ((8.0,), (3,), 3, 3, 1.0),
        ((1.0, 8.0), (2, 2), 4, 3, 1.0),  # one rank here, two there
        ((1.0, 8.0), (2, 2), 4, 4, 0.5),
        ((0.0, 4.0), (0, 1), 3, 3, 1.0),  # two to come, of which nothing is known
        ((0.0,), (0,), 3, 3, 1.0),  # all to come
        ((0.0,), (2,), 2, 2, 0.0),  # a node that offers no CPU
    ],
)
def test_a_gpu_rank_asks_for_no_more_cpu_than_there_is(
    cpus: tuple[float, ...], gpus: tuple[int, ...], limit: int, asked: int, share: float
) -> None:
    found = request_ranks([f"c{i}" for i in range(asked)], ClusterResources(cpus, gpus, limit), asked, None)
    assert (found.gpus_per_rank, found.cpus_per_rank) == (1, share)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [({"max_workers": 3}, 3), ({"max_workers": 2}, 2), ({"max_workers": 9}, 7)],
)
def test_what_an_autoscaler_may_start(tmp_path: Path, limits: dict[str, int], expected: int) -> None:
    cluster = {
        **limits,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 0, "GPU": 1}, "max_workers": 1},
            "one": {"resources": {"CPU": 4, "GPU": 1}, "max_workers": 7},
            "none": {"resources": {"CPU": 64}, "max_workers": 7},
        },
    }
    path = tmp_path / "ray_bootstrap_config.yaml"
    path.write_text(json.dumps(cluster))  # JSON is YAML
    assert autoscaler_gpus(path) == expected
    assert autoscaler_gpus(tmp_path / "absent") == 0


def test_the_clusters_own_file_lets_three_gpus_be_asked_for() -> None:
    assert autoscaler_gpus(ROOT / "cluster.yaml") == 3


def test_what_is_waited_for_is_said() -> None:
    three = request_ranks(RGB, ClusterResources((0.0,), (1,), gpu_limit=3), 3, None)
    said = autoscaler_notice(three, ClusterResources((0.0,), (1,), gpu_limit=3), 1800)
    assert said.startswith("waiting for 2 more GPUs: 1 of 3 are up, and the autoscaler starts the others")
    assert said.endswith("tried again every 30 min")
    assert autoscaler_notice(three, ClusterResources((0.0,), (3,), gpu_limit=3), 1800) == ""
    cpus = request_ranks(RGB, ClusterResources((2.0,), (0,), gpu_limit=0), None, None)
    assert autoscaler_notice(cpus, ClusterResources((2.0,), (0,), gpu_limit=0), 60) == ""
