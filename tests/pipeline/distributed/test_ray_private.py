"""What is used of Ray beyond its public interface, a test each: the first to look at when Ray is another.

pyproject.toml allows the versions with which all of it was tried.
"""

import inspect
import tomllib
from importlib import import_module, metadata

import pytest
from packaging.requirements import Requirement

from tests.helpers.checkout import ROOT

PRIVATE = {
    "ray.train.v2._internal.execution.scaling_policy:FixedScalingPolicy": "WaitThenShrinkPolicy "
    "(pipeline/distributed/scaling.py) extends it; without it, write a scaling policy anew, or drop "
    "`_initialize_and_run_controller` from trainer._Trainer: training then waits for lost hosts for ever",
    "ray.train.v2._internal.execution.scaling_policy:NoopDecision": "WaitThenShrinkPolicy's word for: wait",
    "ray.train.v2._internal.execution.scaling_policy:ResizeDecision": "WaitThenShrinkPolicy returns it",
    "ray.train.v2._internal.execution.scaling_policy:ScalingDecision": "a type of WaitThenShrinkPolicy's",
    "ray.train.v2._internal.execution.worker_group:WorkerGroupPollStatus": "a type of WaitThenShrinkPolicy's",
    "ray.train.v2._internal.execution.worker_group:WorkerGroupState": "a type of WaitThenShrinkPolicy's",
    "ray.autoscaler._private.util:prepare_config": "`vaepipe cluster check` fills in Ray's defaults by it "
    "(pipeline/cluster/description.py)",
    "ray.autoscaler._private.util:validate_config": "`vaepipe cluster check` has Ray's own schema from it",
    "ray._private.ray_constants:ENABLE_RAY_CLUSTER": "pipeline/distributed/ray_local.py keeps Ray to "
    "the loopback interface by it; without it, a local Ray listens on the network",
    "ray.train.torch.config:_TorchBackend": "pipeline/distributed/process_group.py lets ranks find each "
    "other by a file; without it, leave LocalTorchConfig out, and rank 0 listens on all addresses",
    "ray.train.torch.config:_setup_torch_process_group": "the same",
    "ray.train.torch.config:_set_torch_distributed_env_vars": "the same",
    "ray._private.authentication.authentication_utils:is_token_auth_enabled": "ray_session.py warns by it of "
    "clusters that ask for no token",
    "ray._private.state:jobs": "start_wait.py names other drivers by it; else it says less",
}


@pytest.mark.parametrize("name", PRIVATE)
def test_a_private_name_is_there(name: str) -> None:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module), attribute, None)
    except ImportError:
        found = None
    assert found is not None, f"Ray {metadata.version('ray')} has no {name}: {PRIVATE[name]}"


def test_a_scaling_policy_is_asked_as_before() -> None:
    from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy, ResizeDecision

    hint = "look at pipeline/distributed/scaling.py, which overrides them"
    for name, parameters in {
        "make_decision_for_non_running_worker_group": ["self"],
        "make_decision_for_running_worker_group": ["self", "worker_group_state", "worker_group_status"],
    }.items():
        method = getattr(FixedScalingPolicy, name, None)
        assert method, f"Ray's scaling policies have no {name}: {hint}"
        assert list(inspect.signature(method).parameters) == parameters, f"{name} takes others: {hint}"
    fields = list(inspect.signature(ResizeDecision).parameters)
    assert {"num_workers", "resources_per_worker"} <= set(fields), f"ResizeDecision has {fields}: {hint}"


@pytest.mark.parametrize(
    ("method", "remedy"),
    [
        ("_create_default_callbacks", "processes without a use are started, each a second of a core"),
        (
            "_initialize_and_run_controller",
            "WaitThenShrinkPolicy is not used: a lost host is waited for, for ever",
        ),
    ],
)
def test_the_trainer_s_private_methods_are_called(method: str, remedy: str) -> None:
    from ray.train.torch import TorchTrainer

    hint = f"trainer._Trainer overrides {method}; without it {remedy}: find what took its place"
    assert callable(getattr(TorchTrainer, method, None)), hint
    from ray.train.v2.api import data_parallel_trainer

    assert inspect.getsource(data_parallel_trainer).count(f"{method}(") > 1, hint


def test_the_trainer_s_controller_is_given_a_scaling_policy() -> None:
    """`settings["scaling_policy"]` of trainer._Trainer."""
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    source = inspect.getsource(DataParallelTrainer)
    assert "scaling_policy=" in source, (
        "trainer._Trainer hands WaitThenShrinkPolicy over as scaling_policy: see what is now"
    )


def test_callbacks_that_are_left_out_go_by_their_names() -> None:
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    from pipeline.distributed.trainer import _Trainer

    source = inspect.getsource(DataParallelTrainer._create_default_callbacks)
    for name in _Trainer.UNUSED_ALONE:
        assert name in source, f"Ray has no {name}; take it from trainer._Trainer, or find its new name"


def test_ray_takes_the_folder_that_it_is_given() -> None:
    import ray

    assert "_temp_dir" in inspect.getsource(ray.init), (
        "pipeline/distributed/ray_local.py: set RAY_TMPDIR instead"
    )


def test_ray_is_bounded_to_what_was_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = project["optional-dependencies"]["pipeline"]
    [ray] = [requirement for requirement in map(Requirement, listed) if requirement.name == "ray"]
    assert metadata.version("ray") in ray.specifier
    assert "2.61.0" not in ray.specifier, "raise the bound when the tests of this file pass with it"
    lock = (ROOT / "requirements.txt").read_text().splitlines()
    assert next(line for line in lock if line.startswith("ray==")).removeprefix("ray==") in ray.specifier
