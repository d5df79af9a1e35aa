"""A search without Ray: its journal, Optuna's points, what is known, and who writes it down."""

import errno
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.experiment import workspace as workspaces
from pipeline.search import plot
from pipeline.search.journal import Journal, SearchTrial, name
from pipeline.search.run import SearchRecorder
from pipeline.search.space import UniqueOptunaSearch, decoded, encoded
from pipeline.search.state import SearchState
from pipeline.trials import results, studies_yaml
from pipeline.trials.fitting import FitReport, Snapshot
from pipeline.trials.results import TrialResult
from pipeline.trials.studies_yaml import Range, Search
from pipeline.trials.tuner import TrialCompute
from pipeline.trials.view import TrialsView
from vae.metrics import EpochMetrics

COSTS = {1: {"train": 3.0, "validation": 2.0}, 2: {"train": 2.0, "validation": 1.5}}


def test_a_journal_is_read_as_it_was_written(workspace: Path) -> None:
    journal = Journal("key")
    first, second = {"model.latent": 2, "model.hidden": [5, 5]}, {"model.latent": 3}
    journal.write(SearchTrial(first))
    journal.write(SearchTrial(second))
    journal.write(SearchTrial(first, "stopped", COSTS, 1.5))
    read = Journal("key")
    assert list(read.tried) == [name(first), name(second)]
    assert read.tried[name(first)] == SearchTrial(first, "stopped", COSTS, 1.5)
    assert read.tried[name(first)].epochs == 2
    assert read.tried[name(second)].state == "started"
    assert not Journal("other").tried


def test_a_line_that_a_kill_cut_off_is_left_out(workspace: Path) -> None:
    journal = Journal("key")
    journal.write(SearchTrial({"model.latent": 2}))
    journal.write(SearchTrial({"model.latent": 3}))
    whole = journal.path.read_text()
    for cut in range(len(whole.splitlines()[0]) + 2, len(whole)):
        journal.path.write_text(whole[:cut])
        assert list(Journal("key").tried) == [name({"model.latent": 2})]
    Journal("key").write(SearchTrial({"model.latent": 4}))
    assert [t.setting["model.latent"] for t in Journal("key").tried.values()] == [2, 4]


def test_a_line_that_could_not_be_written_whole_harms_no_other(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal("key")
    journal.write(SearchTrial({"model.latent": 2}))
    before = journal.path.read_bytes()

    def fails(file: int) -> None:
        os.ftruncate(file, os.fstat(file).st_size - 5)  # of a disk that is full
        raise OSError(errno.ENOSPC, "")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        with pytest.raises(PipelineError, match="No space left on device"):
            journal.write(SearchTrial({"model.latent": 3}))
    assert journal.path.read_bytes() == before
    journal.write(SearchTrial({"model.latent": 4}))
    assert [t.setting["model.latent"] for t in Journal("key").tried.values()] == [2, 4]


def test_a_line_of_which_a_part_was_written_is_taken_back(workspace: Path) -> None:
    journal = Journal("key")
    journal.write(SearchTrial({"model.latent": 2}))
    before = journal.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
        with pytest.raises(PipelineError, match="File too large"):
            journal.write(SearchTrial({"model.latent": 3}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert journal.path.read_bytes() == before


def test_a_damaged_line_is_named(workspace: Path) -> None:
    paths.searches().mkdir(parents=True)
    (paths.searches() / "key.jsonl").write_text("{}\n")
    with pytest.raises(PipelineError, match=r"key.jsonl: line 1 is damaged; delete it, or the file"):
        Journal("key")


def test_settings_go_to_optuna_and_come_back() -> None:
    search = Search(
        "default",
        3,
        1,
        {
            "model.hidden": ([5, 5], [7, 5]),
            "model.activation": ("relu", "gelu"),
            "model.centred": (True, False),
            "model.latent": Range(2, 9, False, True),
            "train.learning_rate": Range(0.0001, 0.1, True, False),
        },
    )
    setting = {
        "model.hidden": [7, 5],
        "model.activation": "gelu",
        "model.centred": False,
        "model.latent": 4,
        "train.learning_rate": 0.001,
    }
    assert decoded(encoded(setting, search)) == setting
    assert decoded({"train.learning_rate": 0.00123456}) == {"train.learning_rate": 0.001235}


def test_no_setting_is_suggested_twice() -> None:
    search = Search("default", 9, 1, {"model.latent": Range(2, 3, False, True), "model.hidden": ([5], [7])})
    points: list[Mapping[str, Any]] = [{"model.latent": 2, "model.hidden": [7]}]
    optuna = UniqueOptunaSearch(search, "validation", points, seed=0)
    suggested = [optuna.suggest(f"trial {n}") for n in range(5)]
    settings = [decoded(config) for config in suggested[:4] if isinstance(config, dict)]
    assert settings[0] == points[0]
    assert len({name(setting) for setting in settings}) == 4
    assert suggested[4] == optuna.FINISHED


SEARCH = Search("default", 3, 1, {"model.latent": Range(2, 60, False, True), "train.batch_size": (50, 100)})
DEFAULTS = {"model.latent": 20, "train.batch_size": 100}
OTHER = {"model.latent": 7, "train.batch_size": 50}
THIRD = {"model.latent": 9, "train.batch_size": 50}


@pytest.fixture
def state(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> SearchState:
    workspaces.create(workspace / "w")
    monkeypatch.chdir(workspace / "w")
    return again()


def again() -> SearchState:
    """As the next command finds it."""
    data = SimpleNamespace(digest=b"digest", about="some images")
    return SearchState(SEARCH, studies_yaml.read_defaults(), cast(Any, data))


def finish(state: SearchState, setting: dict[str, Any], cost: float) -> None:
    """A result on disk, as any study or search leaves it."""
    history = [
        EpochMetrics("rgb", epoch, split, cost + 50 - epoch, 1.0, 1.0)
        for epoch in range(1, 51)
        for split in ("train", "validation")
    ]
    found = {"rgb": {"validation": {"cost": cost}, "test": {"excess": 9.0}}}
    snapshot = Snapshot(50, found, np.zeros((1, 3, 8, 8), np.uint8), history, 2.0)
    results.save(state.trial(setting).fit_key, TrialResult(snapshot, "1 CPU thread"))


def test_a_new_search_begins_with_the_defaults(state: SearchState) -> None:
    assert state.points() == [DEFAULTS]
    assert state.missing() == 3
    assert state.known_reports() == {}
    outside = Search("default", 3, 1, {"model.latent": Range(2, 9, False, True)})
    assert SearchState(outside, state.defaults, state.data).points() == []


def test_what_a_study_has_found_is_told_not_trained(state: SearchState) -> None:
    finish(state, DEFAULTS, 30.0)
    told = again().known_reports()
    [reports] = told.values()
    assert list(told) == [state.trial(DEFAULTS).fit_key]
    assert [report.epoch for report in reports] == list(range(1, 51))
    assert reports[-1].costs == {"train": 30.0, "validation": 30.0}


def test_a_search_knows_again_what_was_tried(state: SearchState) -> None:
    for setting in (DEFAULTS, OTHER, THIRD):
        state.journal.write(SearchTrial(setting))
    state.journal.write(SearchTrial(OTHER, "stopped", COSTS, 1.5))
    finish(state, DEFAULTS, 30.0)  # killed before the journal said so
    later = again()
    assert later.points() == [DEFAULTS, OTHER, THIRD]
    assert [trial.state for trial in later.tried()] == ["finished", "stopped", "started"]
    assert later.missing() == 1
    assert set(later.known_reports()) == {later.trial(DEFAULTS).fit_key, later.trial(OTHER).fit_key}
    best = later.best()
    assert best
    assert (best.setting, best.cost) == (DEFAULTS, 30.0)
    assert "3 trials, 1 finished, 1 stopped early" in later.verdict(best)


def test_a_finished_trial_whose_result_is_gone_runs_again(state: SearchState) -> None:
    state.journal.write(SearchTrial(OTHER, "finished", COSTS, 1.5))
    later = again()
    assert later.missing() == 3
    assert later.known_reports() == {}


def test_another_order_of_the_space_is_the_same_search(state: SearchState) -> None:
    state.journal.write(SearchTrial(OTHER))
    turned = Search("default", 3, 1, dict(reversed(list(SEARCH.space.items()))))
    assert SearchState(turned, state.defaults, state.data).tried()
    changed = Search("default", 3, 1, {"model.latent": Range(2, 59, False, True)})
    assert not SearchState(changed, state.defaults, state.data).tried()


def keeper(state: SearchState) -> SearchRecorder:
    return SearchRecorder(state, set(state.known_reports()), TrialCompute(), TrialsView("search", 1, 3))


def config(setting: dict[str, Any]) -> dict[str, Any]:
    return encoded(setting, SEARCH)


def test_only_what_ended_by_itself_is_written_down(state: SearchState) -> None:
    watcher = keeper(state)
    for number, setting in enumerate((DEFAULTS, OTHER, THIRD)):
        watcher.started(f"t{number}", config(setting))
    watcher.reported("t0", FitReport(1, {"train": 5.0, "validation": 6.0}, 1.0), "m")
    watcher.ended("t0", config(DEFAULTS))  # the scheduler stopped it
    watcher.diverged("t1", "the cost became nan")
    watcher.ended("t1", config(OTHER))
    watcher.failed("t2", config(THIRD), "its process ended")  # of no fault of its own
    watcher.ended("t2", config(THIRD))
    assert [trial.state for trial in again().tried()] == ["stopped", "failed", "started"]
    assert again().missing() == 1
    # The one that diverged told nothing; as told again it says nothing either.
    second = keeper(again())
    second.started("t", config(OTHER))
    second.reported("t", FitReport(0, {}, 0.0), "m")
    second.ended("t", config(OTHER))
    assert again().missing() == 1


def test_a_process_may_die_before_its_trial_has_started(state: SearchState) -> None:
    watcher = keeper(state)
    watcher.tried_again("t", config(OTHER), "its process ended")
    watcher.started("t", config(OTHER))
    watcher.failed("u", config(THIRD), "its process ended")
    watcher.ended("u", config(THIRD))
    assert again().points() == [OTHER, THIRD]


def test_a_trial_that_diverged_is_not_on_the_plots_axis() -> None:
    finished = [SearchTrial({}, "finished", {50: {"validation": 1850.0 + n}}) for n in range(4)]
    diverged = SearchTrial({}, "failed", {3: {"validation": 5200.0}})
    with_it, without = (plot.plot([*finished, last], "validation") for last in (diverged, SearchTrial({})))
    assert with_it == without
