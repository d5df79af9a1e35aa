"""What studies have to train, and on which machines."""

import pytest

from pipeline.common.errors import PipelineError
from pipeline.distributed.placement import ClusterResources
from pipeline.trials import planning, tuner
from pipeline.trials.tuner import TrialCompute
from tests.helpers.studies import BASE, trials_of


def test_epochs_are_snapshots_of_one_fit() -> None:
    trials = trials_of(*({"train.epochs": n} for n in (20, 10, 50)), {"model.latent": 2})
    first, second = planning.fits(trials)
    assert (first.snapshots, first.train.epochs) == ((10, 20, 50), 50)
    assert (second.snapshots, second.model.latent) == ((50,), 2)


def test_epochs_that_shape_the_schedule_are_fits_of_their_own() -> None:
    trials = trials_of(*({"train.epochs": n, "train.decay": "cosine"} for n in (10, 20)))
    assert [fit.snapshots for fit in planning.fits(trials)] == [(10,), (20,)]


def test_a_fit_is_known_by_all_that_shapes_it() -> None:
    [trial] = trials_of({"model.latent": 20})
    assert trials_of({"train.seed": 0})[0].fit_key == trial.fit_key  # the defaults, said in another way
    assert trials_of({"model.latent": 20}, data=b"other")[0].fit_key != trial.fit_key
    changed = BASE | {"train": BASE["train"] | {"batch_size": 50}}
    assert trials_of({"model.latent": 20}, base=changed)[0].fit_key != trial.fit_key
    assert trials_of({"model.latent": 21})[0].fit_key != trial.fit_key


@pytest.mark.parametrize(
    ("machines", "expected"),
    [
        (TrialCompute(), (1, 0, 6)),
        (TrialCompute(workers=2), (1, 0, 2)),
        (TrialCompute(threads=3), (3, 0, 1)),
        (TrialCompute(gpus=0), (1, 0, 6)),
    ],
)
def test_trials_on_cpus(machines: TrialCompute, expected: tuple[int, float, int]) -> None:
    found = tuner.request_trials(ClusterResources((4.0, 2.0), (0, 0), 0), machines)
    assert (found.cpus, found.gpus, found.at_once) == expected
    assert found.device == "cpu"


def test_trials_share_gpus() -> None:
    offer = ClusterResources((8.0,), (2,), 2)
    assert tuner.request_trials(offer, TrialCompute()).at_once == 4
    found = tuner.request_trials(offer, TrialCompute(gpus=1, per_gpu=4))
    assert (found.gpus, found.at_once, found.device) == (0.25, 4, "cuda")
    assert tuner.request_trials(offer, TrialCompute(workers=3)).device == "cpu"
    assert found.cpus == 1
    # Eight trials on two cores; and two that would like three threads each.
    assert tuner.request_trials(ClusterResources((2.0,), (2,), 2), TrialCompute(per_gpu=4)).cpus == 0.25
    assert tuner.request_trials(ClusterResources((4.0,), (1,), 1), TrialCompute(threads=3)).cpus == 2
    assert (
        tuner.request_trials(ClusterResources((0.0,), (0,), 3), TrialCompute()).at_once == 6
    )  # that an autoscaler may start


@pytest.mark.parametrize(
    ("machines", "said"),
    [
        (TrialCompute(gpus=3), "--gpus 3: there are 2 GPUs here and none more can be started"),
        (TrialCompute(gpus=1, workers=1), "--gpus and --workers exclude each other"),
        (TrialCompute(threads=9), "--threads 9: no node has more than 8 CPU cores"),
    ],
)
def test_machines_that_are_not_there(machines: TrialCompute, said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        tuner.request_trials(ClusterResources((8.0,), (2,), 2), machines)
