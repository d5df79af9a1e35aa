"""A fit: trained, measured, interrupted, and gone on with."""

import errno
import os
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.runs.checkpoints import Checkpoints
from pipeline.trials import fitting, results, tuner
from pipeline.trials.fitting import FitReport, Snapshot, SplitTensors, TrialTensors
from pipeline.trials.planning import Fit
from pipeline.trials.results import TrialResult
from tests.helpers.models import model, train
from vae.config import Sizes
from vae.evaluate import evaluate
from vae.fit import fit as fit_stack
from vae.metrics import EpochMetrics
from vae.stack import assemble, initial_state

TINY = model(latent=2, hidden=(8,))


FITTED = train(epochs=6, batch_size=20)


def data(components: tuple[str, ...] = paths.COLOURS, pixels: int = 64, side: int = 8) -> TrialTensors:
    draw = torch.Generator().manual_seed(0)

    def part(count: int) -> SplitTensors:
        images = torch.randint(0, 256, (len(components), count, pixels), dtype=torch.uint8, generator=draw)
        return SplitTensors(images, (side, side), None)

    channels = pixels // side**2
    return TrialTensors(components, Sizes((channels, side, side)), part(100), part(20), part(30))


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """SSIM's window does not fit into 8 pixels a side."""
    monkeypatch.setattr("pipeline.evaluation.reconstruction.ImageQuality", Blind)


class Blind:
    def add(self, found: torch.Tensor, expected: torch.Tensor) -> None:
        assert found.shape == expected.shape
        assert found.shape[1] == 3

    def means(self) -> dict[str, float]:
        return {"mse": 0.25}


def follow(
    folder: Path,
    fit: Fit,
    given: TrialTensors | None = None,
    checkpoint_seconds: float = 1e9,
    until: int = 99,
) -> list[FitReport]:
    given = given or data()
    checkpoints = Checkpoints(str(folder), fit.key, given.components)
    found = []
    for report in fitting.train_and_measure(fit, given, checkpoints, checkpoint_seconds, "cpu"):
        found.append(report)
        if report.epoch == until:
            break
    return found


def snapshots(reports: list[FitReport]) -> list[Snapshot]:
    return [report.snapshot for report in reports if report.snapshot]


def test_a_fit_finds_what_fit_and_evaluate_find(tmp_path: Path) -> None:
    given = data()
    reports = follow(tmp_path, Fit("key", TINY, FITTED, (2, 6)), given)
    assert [report.epoch for report in reports] == list(range(1, 7))
    early, late = snapshots(reports)
    assert (early.epoch, late.epoch) == (2, 6)
    states = [
        initial_state(c, given.train.images_CND[i], given.sizes, TINY, 0)
        for i, c in enumerate(given.components)
    ]
    for epoch in fit_stack(given.train.images_CND, states, FITTED):
        last = epoch
    model = assemble(last.states(), torch.device("cpu")).eval()
    for component, measured in zip(
        given.components, evaluate(model, given.components, given.test.images_CND, 0), strict=True
    ):
        assert late.metrics[component]["test"]["cost"] == pytest.approx(measured.cost, rel=1e-5)
        assert late.metrics[component]["test"]["mse"] == pytest.approx(measured.mse, rel=1e-5)
    costs = [late.metrics[component]["test"]["cost"] for component in given.components]
    assert late.metrics["rgb"]["test"]["cost"] == pytest.approx(sum(costs), rel=1e-5)
    assert late.metrics["rgb"]["test"]["mse"] == 0.25
    assert set(late.metrics["rgb"]) == {"train", "validation", "test"}
    assert late.shown.shape == (fitting.SHOWN, 3, 8, 8)
    assert {r.epoch for r in late.history} == set(range(1, 7))


def test_snapshots_are_what_shorter_fits_find(tmp_path: Path) -> None:
    whole = snapshots(follow(tmp_path, Fit("a", TINY, FITTED, (2, 6))))
    [short] = snapshots(follow(tmp_path, Fit("b", TINY, replace(FITTED, epochs=2), (2,))))
    assert whole[0].metrics == short.metrics
    np.testing.assert_array_equal(whole[0].shown, short.shown)


@pytest.mark.parametrize("until", [1, 2, 4])
def test_an_interrupted_fit_goes_on_to_the_same_end(tmp_path: Path, until: int) -> None:
    fit = Fit("key", TINY, FITTED, (2, 6))
    whole = snapshots(follow(tmp_path / "a", fit))
    first = follow(tmp_path / "b", fit, checkpoint_seconds=0, until=until)
    kept = snapshots(first)
    waiting = tuple(e for e in fit.snapshots if e not in [s.epoch for s in kept])
    rest = follow(tmp_path / "b", replace(fit, snapshots=waiting), checkpoint_seconds=0)
    # What came before the checkpoint, which was one behind, is told again, and not trained.
    assert [report.epoch for report in rest] == list(range(1, 7))
    whole_costs = [report.costs for report in follow(tmp_path / "c", fit)]
    assert [report.costs for report in rest] == whole_costs
    assert [s.metrics for s in kept + snapshots(rest)] == [s.metrics for s in whole]


def test_a_fit_that_is_tried_again_keeps_its_progress(tmp_path: Path) -> None:
    given, fit = data(), Fit("key", TINY, FITTED, (2, 6))
    checkpoints = Checkpoints(str(tmp_path), fit.key, given.components)
    for report in fitting.train_and_measure(fit, given, checkpoints, 0, "cpu", "me"):
        if report.epoch == 5:
            break
    again = list(fitting.train_and_measure(fit, given, checkpoints, 0, "cpu", "me"))
    assert [s.epoch for s in snapshots(again)] == [6]
    # Whoever comes later may not have kept it.
    assert [
        s.epoch for s in snapshots(list(fitting.train_and_measure(fit, given, checkpoints, 0, "cpu", "you")))
    ] == [
        2,
        6,
    ]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("writes", range(1, 18))
def test_a_kill_at_any_moment_leaves_the_seconds_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    ticks = count()  # a second an epoch
    monkeypatch.setattr("pipeline.runs.training.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    fit, left = Fit("key", TINY, FITTED, (2, 6)), writes
    write = Checkpoints.write

    def killed(self: Checkpoints, path: str, data: bytes) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        write(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "write", killed)
        with pytest.raises(Killed):
            follow(tmp_path, fit, checkpoint_seconds=0)
    reports = follow(tmp_path, fit, checkpoint_seconds=0)
    assert [report.seconds for report in reports] == [1, 2, 3, 4, 5, 6]


def test_a_checkpoint_past_a_snapshot_that_is_missing_is_not_gone_on_from(tmp_path: Path) -> None:
    fit = Fit("key", TINY, FITTED, (6,))
    follow(tmp_path, fit, checkpoint_seconds=0, until=6)
    again = follow(tmp_path, replace(fit, snapshots=(3, 6)))
    assert again[0].epoch == 1
    assert [s.epoch for s in snapshots(again)] == [3, 6]


def test_a_joint_fit_has_one_component(tmp_path: Path) -> None:
    joint = replace(TINY, channels="joint")
    given = data(("rgb",), pixels=192)
    [found] = snapshots(follow(tmp_path, Fit("key", joint, FITTED, (6,)), given))
    assert set(found.metrics) == {"rgb"}
    assert found.metrics["rgb"]["test"]["excess"] > 0
    assert found.shown.shape == (fitting.SHOWN, 3, 8, 8)


def test_results_come_back_whole_or_not_at_all(workspace: Path) -> None:
    [found] = snapshots(follow(workspace, Fit("key", TINY, FITTED, (6,))))
    assert results.load("key", 6) is None
    results.save("key", TrialResult(found, "1 CPU thread"))
    read = results.load("key", 6)
    assert read
    assert (read.machine, read.snapshot.metrics, read.snapshot.history) == (
        "1 CPU thread",
        found.metrics,
        found.history,
    )
    np.testing.assert_array_equal(read.snapshot.shown, found.shown)
    path = results.path("key", 6)
    path.write_bytes(path.read_bytes()[:-100])
    assert results.load("key", 6) is None


def test_seconds_are_those_until_the_epoch_whoever_tells_them() -> None:
    history = [EpochMetrics("red", epoch, "train", 9.0 - epoch, 0.0, 0.0) for epoch in (1, 2, 4, 3)]
    result = TrialResult(Snapshot(4, {}, np.zeros(0), history, 8.0), "1 CPU thread")
    assert [(report.epoch, report.seconds) for report in result.reports()] == [(1, 2), (2, 4), (3, 6), (4, 8)]
    assert fitting.repeated_reports({}, 0.0) == []


def test_a_result_that_cannot_be_read_is_not_trained_again(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results.path("key", 6).mkdir(parents=True)
    with pytest.raises(PipelineError, match=r"key-000006.safetensors: cannot be read: Is a directory$"):
        results.load("key", 6)
    results.path("other", 6).touch()  # which can be opened

    def fails(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fails)
    with pytest.raises(PipelineError, match=r"other-000006.safetensors: cannot be read: Input/output error$"):
        results.load("other", 6)


class Watching:
    """A watcher whose disk is full."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def started(self, name: str, config: Any) -> None:
        self.heard.append(f"started {name}")

    def reported(self, name: str, report: FitReport, machine: str) -> None:
        raise PipelineError("the disk is full")

    def ended(self, name: str, config: Any) -> None:
        self.heard.append(f"ended {name}")


def test_what_a_watcher_raises_ends_all_trials_and_is_no_trials_fault() -> None:
    watcher = Watching()
    callback = tuner._Callback(cast(Any, watcher))
    stopper = tuner._EndsAtAFault(callback)
    tune_trial = SimpleNamespace(trial_id="t", config={})
    callback.on_trial_start(0, [], tune_trial)
    assert not stopper.stop_all()
    callback.on_trial_result(0, [], tune_trial, {"report": FitReport(1, {}, 0.0), "machine": "m"})
    callback.on_trial_complete(0, [], tune_trial)
    assert stopper.stop_all()
    assert str(callback.fault) == "the disk is full"
    assert watcher.heard == ["started t"]


def test_what_no_trial_would_escape_ends_all_trials() -> None:
    callback = tuner._Callback(cast(Any, Watching()))
    callback.on_trial_result(0, [], SimpleNamespace(trial_id="t", config={}), {"hopeless": "no storage"})
    assert isinstance(callback.fault, PipelineError)
    assert tuner._EndsAtAFault(callback).stop_all()
