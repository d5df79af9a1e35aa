"""Trials under Ray Tune: as many at once as the compute has room for.

Here a trial is Tune's, whose word users hear too: each is one fit (see `planning`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ray import tune
from ray.tune.experiment import Trial as TuneTrial

from pipeline.common import paths
from pipeline.common.errors import PipelineError, lines
from pipeline.distributed import placement, ray_session
from pipeline.distributed.compute import Compute
from pipeline.distributed.placement import ClusterResources
from pipeline.distributed.ray_session import Session
from pipeline.distributed.start_wait import StartWait
from pipeline.runs.run_folder import TRIALS
from pipeline.trials.fitting import FitReport

# Read by Tune's controller, which is a thread of the driver's.
ENVIRONMENT = {
    # Its own tables and files are not shown and not read.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Trials name files from the workspace.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


@dataclass(frozen=True)
class TrialCompute(Compute):
    """Machines for trials. On CPUs `workers` of them run at once; None: as many as there are cores for."""

    per_gpu: int = 2  # trials that share a GPU
    threads: int = 1  # CPU threads of a trial

    def checkpoints(self) -> str:
        """The storage of trials' checkpoints."""
        if not self.storage:
            return str(paths.trials().absolute())
        # What follows the ? of a URI are settings, not the folder.
        folder, *settings = self.storage.split("?", 1) if "://" in self.storage else [self.storage]
        return "?".join([f"{folder.rstrip('/')}/{TRIALS}", *settings])


@dataclass(frozen=True)
class TrialRequest:
    """Request to Ray for trials."""

    cpus: float  # a trial's; with a GPU less than its threads where there are few
    gpus: float  # a trial's share
    at_once: int  # trials, at most

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"

    def __str__(self) -> str:
        each = (
            f"1/{round(1 / self.gpus)} GPU" if self.gpus else f"{self.cpus:g} CPU core{'s' * (self.cpus > 1)}"
        )
        return f"{each} each"


def request_trials(offer: ClusterResources, compute: TrialCompute) -> TrialRequest:
    """Decide what to ask for.

    Raises:
        PipelineError: what is asked for can never be had here.
    """
    gpus, cores = compute.gpus, max((int(cpus) for cpus in offer.node_cpus), default=0)
    if gpus and compute.workers:
        raise PipelineError(
            "--gpus and --workers exclude each other: a trial is on a share of a GPU, or on none"
        )
    if gpus is None:
        gpus = 0 if compute.workers else offer.gpu_limit
    placement.check_gpus(gpus, offer)
    to_come = gpus > offer.gpus  # nodes that an autoscaler starts, whose cores are not known
    if compute.threads > cores and not to_come:
        raise PipelineError(f"--threads {compute.threads}: no node has more than {cores} CPU cores")
    if gpus:
        trials = gpus * compute.per_gpu
        cpus = placement.gpu_cpu_share(offer, trials, compute.per_gpu, compute.threads)
        return TrialRequest(cpus, 1 / compute.per_gpu, trials)
    room = sum(int(cpus) // compute.threads for cpus in offer.node_cpus)
    return TrialRequest(compute.threads, 0, min(room, compute.workers or room))


class TrialCallback(Protocol):
    """Receiver of what trials do, by Tune's names of them, in the order in which it happens.

    Called from a thread of Tune's; what it raises ends all trials. A process may die before `started`.
    """

    def started(self, name: str, config: Mapping[str, Any]) -> None: ...

    def reported(self, name: str, report: FitReport, machine: str) -> None: ...

    def tried_again(self, name: str, config: Mapping[str, Any], reason: str) -> None:
        """Its process failed."""

    def diverged(self, name: str, reason: str) -> None:
        """A trial failed by itself, and would again."""

    def failed(self, name: str, config: Mapping[str, Any], reason: str) -> None:
        """Its process failed once too often, or the memory did not suffice; another time it may not."""

    def ended(self, name: str, config: Mapping[str, Any]) -> None:
        """However it did."""


class _Callback(tune.Callback):  # type: ignore[misc]  # Ray is not typed
    """Tune's callbacks as a watcher's."""

    def __init__(self, watcher: TrialCallback) -> None:
        self.watcher = watcher
        # What ends all trials: the first that the watcher raised, or that every trial would meet.
        self.fault: Exception | None = None
        self.begun = False  # whether any trial has found a place

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks to go on with them in another process, which is never done."""
        return {}

    def _tell(self, word: str, *arguments: Any) -> None:
        """Tune would take an exception for the trial's, and try the trial again."""
        if not self.fault:
            try:
                getattr(self.watcher, word)(*arguments)
            except Exception as error:
                self.fault = error

    def on_trial_start(self, iteration: int, trials: Any, trial: TuneTrial, **info: Any) -> None:
        self.begun = True
        self._tell("started", trial.trial_id, trial.config)

    def on_trial_result(
        self, iteration: int, trials: Any, trial: TuneTrial, result: Mapping[str, Any], **info: Any
    ) -> None:
        if "hopeless" in result:
            self.fault = self.fault or PipelineError(result["hopeless"])
        elif "diverged" in result:
            self._tell("diverged", trial.trial_id, result["diverged"])
        elif "out_of_memory" in result:
            self._tell("failed", trial.trial_id, trial.config, result["out_of_memory"])
        elif "report" in result:
            self._tell("reported", trial.trial_id, result["report"], result["machine"])

    def on_trial_recover(self, iteration: int, trials: Any, trial: TuneTrial, **info: Any) -> None:
        self._tell("tried_again", trial.trial_id, trial.config, _reason(trial))

    def on_trial_error(self, iteration: int, trials: Any, trial: TuneTrial, **info: Any) -> None:
        self._tell("failed", trial.trial_id, trial.config, _reason(trial))
        self._tell("ended", trial.trial_id, trial.config)

    def on_trial_complete(self, iteration: int, trials: Any, trial: TuneTrial, **info: Any) -> None:
        self._tell("ended", trial.trial_id, trial.config)


class _EndsAtAFault(tune.Stopper):  # type: ignore[misc]
    """Ends all trials once the callback has met what ends them."""

    def __init__(self, callback: _Callback) -> None:
        self.callback: _Callback | None = callback

    def __getstate__(self) -> dict[str, Any]:
        return {"callback": None}

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.callback is not None and self.callback.fault is not None


def _reason(trial: TuneTrial) -> str:
    """One line from Ray's pages."""
    error = trial.get_pickled_error() or trial.get_error() or "its process ended"
    return lines(error)[-1]


def one_trial_each(count: int) -> Any:
    """Numbers from 0, a trial each, as a dimension of `space`."""
    return tune.grid_search(list(range(count)))


def run(
    trainable: Any,
    arguments: Mapping[str, Any],
    space: Mapping[str, Any],
    wanted: TrialRequest,
    watcher: TrialCallback,
    session: Session,
    max_failures: int,
    **tuning: Any,
) -> None:
    """Run trials to their ends; `tuning` is handed on to tune.TuneConfig.

    Raises:
        PipelineError: Ray lost a process that cannot be replaced, or a trial met what all would meet.
        Exception: what the watcher raised.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    callback = _Callback(watcher)
    each = {"CPU": wanted.cpus, "GPU": wanted.gpus}
    waiting = StartWait("trials", each, session)
    with ray_session.scratch() as folder:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(trainable, **arguments), each),
            param_space=dict(space),
            tune_config=tune.TuneConfig(
                reuse_actors=True,  # importing torch takes seconds
                max_concurrent_trials=wanted.at_once,
                trial_dirname_creator=_dirname,
                **tuning,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=folder,  # nothing of it is read again: results are kept by the watcher
                verbose=0,
                callbacks=[callback],
                stop=_EndsAtAFault(callback),
                failure_config=tune.FailureConfig(max_failures=max_failures),
            ),
        )
        error = ray_session.run_watched(tuner.fit, session, lambda: waiting.look(begun=callback.begun))
        if callback.fault:
            raise callback.fault
        if error:
            raise PipelineError(
                f"Ray ended the trials: {lines(error)[0]}; the same command goes on from what is finished"
            )


def _dirname(trial: TuneTrial) -> str:
    return str(trial.trial_id)
