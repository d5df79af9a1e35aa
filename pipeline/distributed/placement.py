"""Placement: which rank trains which components. Pure decisions, from numbers to numbers.

A rank is one training process. It has a whole GPU, or a share of a CPU and one thread, and trains a stack
of components. Placement never changes the answer, except in the last bits (see vae.fit).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.common.errors import PipelineError


@dataclass(frozen=True)
class Assignment:
    """Components that one rank trains, and which of their replicas it is."""

    components: tuple[str, ...]
    replica: int = 0  # which of the data-parallel replicas of its components it is
    replicas: int = 1


@dataclass(frozen=True)
class Plan:
    """One assignment a rank, by rank."""

    assignments: tuple[Assignment, ...]
    unused: int = 0  # ranks offered that nothing could be dealt to

    def replica_ranks(self) -> list[list[int]]:
        """The ranks that exchange gradients, one list for each set of components with several replicas."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for rank, assignment in enumerate(self.assignments):
            groups.setdefault(assignment.components, []).append(rank)
        return [ranks for ranks in groups.values() if len(ranks) > 1]

    def __str__(self) -> str:
        groups = []
        for assignment in self.assignments:
            if assignment.replica == 0:
                times = f" x{assignment.replicas}" if assignment.replicas > 1 else ""
                groups.append("+".join(assignment.components) + times)
        return " | ".join(groups)


def plan(components: Sequence[str], ranks: int) -> Plan:
    """Deal the components to at most `ranks` ranks.

    Fewer ranks than components: stacks, as even as can be. As many: one each. R times as many: R replicas
    of each component; what does not divide stays unused.
    """
    names, count = tuple(components), len(components)
    if ranks < 1:
        raise ValueError(f"ranks must be at least 1, not {ranks}")
    if ranks < count:
        bounds = [-(-rank * count // ranks) for rank in range(ranks + 1)]
        return Plan(tuple(Assignment(names[a:b]) for a, b in pairwise(bounds)))
    replicas, unused = divmod(ranks, count)
    assignments = [Assignment((name,), replica, replicas) for replica in range(replicas) for name in names]
    return Plan(tuple(assignments), unused)


@dataclass(frozen=True)
class ClusterResources:
    """CPUs and GPUs of the cluster's nodes."""

    node_cpus: tuple[float, ...]  # CPUs of each node that is up
    node_gpus: tuple[int, ...]  # GPUs of each of those
    gpu_limit: int  # GPUs that are up or that an autoscaler may start

    @property
    def gpus(self) -> int:
        """GPUs that are up."""
        return sum(self.node_gpus)


@dataclass(frozen=True)
class RankRequest:
    """Request to Ray: so many ranks, each with so many CPUs and GPUs."""

    plan: Plan
    gpus_per_rank: int  # 0 or 1
    cpus_per_rank: float


def request_ranks(
    components: Sequence[str], offer: ClusterResources, gpus: int | None, workers: int | None
) -> RankRequest:
    """Decide what to ask for. `gpus` None means as many as are of use, else the CPU.

    Raises:
        PipelineError: what is asked for can never be had here.
    """
    if gpus is None:
        gpus = 0 if workers else min(len(components), offer.gpu_limit)
    if gpus and workers:
        raise PipelineError("--gpus and --workers exclude each other: a rank has a whole GPU, or none")
    check_gpus(gpus, offer)
    if gpus:
        chosen = plan(components, gpus)
        return RankRequest(
            chosen, gpus_per_rank=1, cpus_per_rank=gpu_cpu_share(offer, len(chosen.assignments))
        )
    ranks = len(components) if workers is None else workers
    cores = sum(int(cpus) for cpus in offer.node_cpus)
    if ranks > max(len(components), cores):
        raise PipelineError(
            f"--workers {ranks}: there {_are(cores, 'CPU core')} here, and more ranks than that only help "
            f"to give each of the {len(components)} components its own; ask for at most "
            f"{max(len(components), cores)}"
        )
    chosen = plan(components, ranks)
    return RankRequest(
        chosen, gpus_per_rank=0, cpus_per_rank=cpu_share(offer.node_cpus, len(chosen.assignments))
    )


def check_gpus(asked: int, offer: ClusterResources) -> None:
    """Raise unless so many GPUs are here, or can be started.

    Raises:
        PipelineError: one line that says how many there are.
    """
    if asked > offer.gpu_limit:
        instead = f"ask for at most {offer.gpu_limit}" if offer.gpu_limit else "give --gpus 0 for the CPU"
        raise PipelineError(
            f"--gpus {asked}: there {_are(offer.gpu_limit, 'GPU')} here and none more can be started; "
            f"{instead}, or --gpus auto"
        )


def autoscaler_notice(request: RankRequest, offer: ClusterResources, seconds: float) -> str:
    """Sentence on what has to come before ranks can start, and how long that is waited for; or empty."""
    wanted = request.gpus_per_rank * len(request.plan.assignments)
    if wanted <= offer.gpus:
        return ""
    return (
        f"waiting for {wanted - offer.gpus} more GPUs: {offer.gpus} of {wanted} are up, and the autoscaler "
        f"starts the others, which takes minutes; tried again every {seconds / 60:.0f} min"
    )


def cpu_share(node_cpus: Sequence[float], ranks: int) -> float:
    """The largest request of at most one CPU with which so many ranks fit on the nodes."""
    if not any(node_cpus):
        raise PipelineError(f"no node of the cluster offers a CPU for {ranks} ranks")
    return _largest_share([(cpus, ranks) for cpus in node_cpus if cpus], ranks, 1.0)


def gpu_cpu_share(offer: ClusterResources, processes: int, per_gpu: int = 1, most: float = 1.0) -> float:
    """CPUs for each process that has a GPU, or shares it with others, and wants `most` CPUs.

    Of nodes that an autoscaler has yet to start nothing is known; they are taken to have CPUs enough. Where a
    node has GPUs and no CPU to offer it may be 0: Ray then asks for the GPU alone.
    """
    pairs = zip(offer.node_cpus, offer.node_gpus, strict=True)
    nodes = [(cpus, gpus * per_gpu) for cpus, gpus in pairs if gpus]
    return _largest_share(nodes, min(processes, offer.gpus * per_gpu), most)


def _largest_share(nodes: Sequence[tuple[float, int]], processes: int, most: float) -> float:
    """The most CPUs, up to `most`, that each of so many processes can ask for; 0 where no share lets all fit.

    nodes: of each how many CPUs it has, and how many of the processes it has places for. Ray counts CPUs in
    ten-thousandths, so the share is rounded down to those.
    """
    shares = {int(cpus / n * 1e4) / 1e4 for cpus, places in nodes for n in range(1, places + 1)} | {most}

    def fit(share: float) -> int:
        return sum(min(places, int(cpus / share + 1e-9)) for cpus, places in nodes)

    fitting = [share for share in shares if 0 < share <= most and fit(share) >= processes]
    return max(fitting, default=0.0)


def _are(count: int, noun: str) -> str:
    return f"is 1 {noun}" if count == 1 else f"are {count or 'no'} {noun}s"
