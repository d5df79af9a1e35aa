"""The worker group of a training under Ray Train, started and watched from the driver."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.common.errors import PipelineError, lines
from pipeline.distributed import ray_session
from pipeline.distributed.placement import RankRequest
from pipeline.distributed.process_group import LocalTorchConfig
from pipeline.distributed.ray_session import Session
from pipeline.distributed.scaling import WaitThenShrinkPolicy
from pipeline.distributed.start_wait import StartWait
from pipeline.distributed.status import StatusActor, TrainingStatus
from pipeline.distributed.worker import RankConfig, train_rank

START_TRIES = 5  # that fail, of ranks on this machine: what the fifth finds in its way the sixth finds too


def train(
    config: RankConfig,
    request: RankRequest,
    max_failures: int,
    show: Callable[[TrainingStatus], None],
    session: Session,
) -> None:
    """Run the worker group to the last epoch; a few times a second `show` gets the status.

    Ray restarts the group from the last checkpoint when a rank fails, up to `max_failures` times.

    Raises:
        PipelineError: a failure that no retry would mend, or one too many.
    """
    # On the driver's node, which stays when a worker's goes.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    status = cast(Any, StatusActor).options(scheduling_strategy=here).remote()
    config = replace(config, status=status)
    ranks = len(request.plan.assignments)
    resources = {"CPU": request.cpus_per_rank, "GPU": request.gpus_per_rank}
    # Small numbers for the ranks' agreements go over gloo, gradients on GPUs over NCCL.
    backend = "cpu:gloo,cuda:nccl" if request.gpus_per_rank else "gloo"
    waiting = StartWait(f"{ranks} rank{'s' * (ranks > 1)}", resources, session)
    with ray_session.scratch() as folder:
        trainer = _Trainer(
            train_rank,
            train_loop_config={"config": config},
            scaling_config=ScalingConfig(
                num_workers=ranks,
                use_gpu=request.gpus_per_rank > 0,
                resources_per_worker=resources,
            ),
            torch_config=(
                TorchConfig(backend=backend)
                if session.joined
                else LocalTorchConfig(backend=backend, folder=folder)
            ),
            run_config=RunConfig(
                name=config.run, storage_path=folder, failure_config=_failures(max_failures, session)
            ),
        )
        trainer.joined, trainer.components, trainer.status = session.joined, config.components, status
        reading = status.read.remote()

        def look() -> None:
            # Never a plain `ray.get`: with Ray's servers gone it would wait for a minute.
            nonlocal reading
            if ray.wait([reading], timeout=0)[0]:
                read = _show(reading, show)
                waiting.look(begun=read.starts >= read.due)
                reading = status.read.remote()

        error = ray_session.run_watched(trainer.fit, session, look)
        _show(reading, show)
        _show(status.read.remote(), show)
        if error:
            raise PipelineError(_explain(error))


def _failures(max_failures: int, session: Session) -> FailureConfig:
    """How often Ray begins anew: where ranks of a cluster cannot be started, without end."""
    starts = -1 if session.joined else START_TRIES
    return FailureConfig(max_failures=max_failures, controller_failure_limit=starts)


class _Trainer(TorchTrainer):  # type: ignore[misc]  # Ray is not typed
    """TorchTrainer without unused callbacks, of which each starts a process, in a second of a core.

    When a node is lost it waits, then shrinks (see `scaling`).

    Where a version of Ray has no such method or callbacks, nothing is left out.
    """

    # Of Ray Data, which carries no data here; and what tidies up after a dead controller on a shared cluster.
    UNUSED = ("DatasetsCallback",)
    UNUSED_ALONE = (*UNUSED, "PlacementGroupCleanerCallback")

    joined = True  # a cluster that others may use
    components: tuple[str, ...] = ()
    status: Any = None  # the StatusActor

    def _create_default_callbacks(self) -> list[Any]:
        unused = self.UNUSED if self.joined else self.UNUSED_ALONE
        return [
            callback
            for callback in super()._create_default_callbacks()
            if type(callback).__name__ not in unused
        ]

    def _initialize_and_run_controller(self, **settings: Any) -> Any:
        settings["scaling_policy"] = WaitThenShrinkPolicy(self.scaling_config, self.components, self.status)
        return super()._initialize_and_run_controller(**settings)


def _show(reading: ray.ObjectRef, show: Callable[[TrainingStatus], None]) -> TrainingStatus:
    try:
        read: TrainingStatus = ray.get(reading)
    except ray.exceptions.RayError as error:
        raise PipelineError(_explain(error)) from error
    show(read)
    if read.failure:
        raise PipelineError(read.failure)
    return read


def _explain(error: BaseException) -> str:
    """One line from Ray's pages: of a rank's failure its last line, of Ray's own the first."""
    failures, unstarted = getattr(error, "worker_failures", None), getattr(error, "controller_failure", None)
    if unstarted:
        what, said = "the ranks cannot be started", lines(unstarted)[-1]
    elif failures:
        rank, cause = min(failures.items())
        what = f"training failed once too often (see --max-failures), last on rank {rank}"
        said = lines(getattr(cause, "cause", None) or cause)[-1]
    else:
        what, said = "Ray lost a process that training needs", lines(error)[0]
    return f"{what}: {said.rstrip('.')}; checkpoints are kept, and the same command goes on from them"
