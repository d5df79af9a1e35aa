"""A search without Ray: its journal, Optuna's points, what is known, and who writes it down."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from pipeline import layout, params
from pipeline import workspace as workspaces
from pipeline.errors import PipelineError
from pipeline.studies import pictures, results
from pipeline.studies.declared import Range, Search
from pipeline.studies.explored import Explored
from pipeline.studies.fleet import Machines
from pipeline.studies.journal import Journal, Tried, name
from pipeline.studies.results import Result
from pipeline.studies.search import Keeper
from pipeline.studies.space import Fresh, decoded, encoded
from pipeline.studies.trial import Report, Snapshot
from pipeline.studies.view import TrialsView
from vae.record import Record

COSTS = {1: {"train": 3.0, "validation": 2.0}, 2: {"train": 2.0, "validation": 1.5}}


def test_a_journal_is_read_as_it_was_written(workspace: Path) -> None:
    journal = Journal("key")
    first, second = {"model.latent": 2, "model.hidden": [5, 5]}, {"model.latent": 3}
    journal.write(Tried(first))
    journal.write(Tried(second))
    journal.write(Tried(first, "stopped", COSTS, 1.5))
    read = Journal("key")
    assert list(read.tried) == [name(first), name(second)]
    assert read.tried[name(first)] == Tried(first, "stopped", COSTS, 1.5)
    assert read.tried[name(first)].epochs == 2
    assert read.tried[name(second)].state == "started"
    assert not Journal("other").tried


def test_a_line_that_a_kill_cut_off_is_left_out(workspace: Path) -> None:
    journal = Journal("key")
    journal.write(Tried({"model.latent": 2}))
    journal.write(Tried({"model.latent": 3}))
    whole = journal.path.read_text()
    for cut in range(len(whole.splitlines()[0]) + 2, len(whole)):
        journal.path.write_text(whole[:cut])
        assert list(Journal("key").tried) == [name({"model.latent": 2})]
    Journal("key").write(Tried({"model.latent": 4}))
    assert [t.setting["model.latent"] for t in Journal("key").tried.values()] == [2, 4]


def test_a_damaged_line_is_named(workspace: Path) -> None:
    layout.searches().mkdir(parents=True)
    (layout.searches() / "key.jsonl").write_text("{}\n")
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
    points = [{"model.latent": 2, "model.hidden": [7]}]
    optuna = Fresh(search, "validation", points, seed=0)
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
def explored(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Explored:
    workspaces.create(workspace / "w")
    monkeypatch.chdir(workspace / "w")
    return again()


def again() -> Explored:
    """As the next command finds it."""
    ground = SimpleNamespace(digest=b"digest", about="some images")
    return Explored(SEARCH, params.read(), cast(Any, ground))


def finish(explored: Explored, setting: dict[str, Any], cost: float) -> None:
    """A result on disk, as any study or search leaves it."""
    history = [
        Record("rgb", epoch, split, cost + 50 - epoch, 1.0, 1.0)
        for epoch in range(1, 51)
        for split in ("train", "validation")
    ]
    found = {"rgb": {"validation": {"cost": cost}, "test": {"excess": 9.0}}}
    snapshot = Snapshot(50, found, np.zeros((1, 3, 8, 8), np.uint8), history, 2.0)
    results.save(explored.trial(setting).fit, Result(snapshot, "1 CPU thread"))


def test_a_new_search_begins_with_the_defaults(explored: Explored) -> None:
    assert explored.points() == [DEFAULTS]
    assert explored.missing() == 3
    assert explored.told() == {}
    outside = Search("default", 3, 1, {"model.latent": Range(2, 9, False, True)})
    assert Explored(outside, explored.base, explored.data).points() == []


def test_what_a_study_has_found_is_told_not_trained(explored: Explored) -> None:
    finish(explored, DEFAULTS, 30.0)
    told = again().told()
    [reports] = told.values()
    assert list(told) == [explored.trial(DEFAULTS).fit]
    assert [report.epoch for report in reports] == list(range(1, 51))
    assert reports[-1].costs == {"train": 30.0, "validation": 30.0}


def test_a_search_knows_again_what_was_tried(explored: Explored) -> None:
    for setting in (DEFAULTS, OTHER, THIRD):
        explored.journal.write(Tried(setting))
    explored.journal.write(Tried(OTHER, "stopped", COSTS, 1.5))
    finish(explored, DEFAULTS, 30.0)  # killed before the journal said so
    later = again()
    assert later.points() == [DEFAULTS, OTHER, THIRD]
    assert [each.state for each in later.tried()] == ["finished", "stopped", "started"]
    assert later.missing() == 1
    assert set(later.told()) == {later.trial(DEFAULTS).fit, later.trial(OTHER).fit}
    best = later.best()
    assert best
    assert (best.setting, best.cost) == (DEFAULTS, 30.0)
    assert "3 trials, 1 finished, 1 stopped early" in later.verdict(best)


def test_a_finished_trial_whose_result_is_gone_runs_again(explored: Explored) -> None:
    explored.journal.write(Tried(OTHER, "finished", COSTS, 1.5))
    later = again()
    assert later.missing() == 3
    assert later.told() == {}


def test_another_order_of_the_space_is_the_same_search(explored: Explored) -> None:
    explored.journal.write(Tried(OTHER))
    turned = Search("default", 3, 1, dict(reversed(SEARCH.space.items())))
    assert Explored(turned, explored.base, explored.data).tried()
    changed = Search("default", 3, 1, {"model.latent": Range(2, 59, False, True)})
    assert not Explored(changed, explored.base, explored.data).tried()


def keeper(explored: Explored) -> Keeper:
    return Keeper(explored, set(explored.told()), Machines(), TrialsView("search", 1, 3))


def config(setting: dict[str, Any]) -> dict[str, Any]:
    return encoded(setting, SEARCH)


def test_only_what_ended_by_itself_is_written_down(explored: Explored) -> None:
    watcher = keeper(explored)
    for number, setting in enumerate((DEFAULTS, OTHER, THIRD)):
        watcher.started(f"t{number}", config(setting))
    watcher.reported("t0", Report(1, {"train": 5.0, "validation": 6.0}, 1.0), "m")
    watcher.ended("t0", config(DEFAULTS))  # the scheduler stopped it
    watcher.diverged("t1", "the cost became nan")
    watcher.ended("t1", config(OTHER))
    watcher.failed("t2", config(THIRD), "its process ended")  # of no fault of its own
    watcher.ended("t2", config(THIRD))
    assert [each.state for each in again().tried()] == ["stopped", "failed", "started"]
    assert again().missing() == 1
    # The one that diverged told nothing; as told again it says nothing either.
    second = keeper(again())
    second.started("t", config(OTHER))
    second.reported("t", Report(0, {}, 0.0), "m")
    second.ended("t", config(OTHER))
    assert again().missing() == 1


def test_a_process_may_die_before_its_trial_has_started(explored: Explored) -> None:
    watcher = keeper(explored)
    watcher.tried_again("t", config(OTHER), "its process ended")
    watcher.started("t", config(OTHER))
    watcher.failed("u", config(THIRD), "its process ended")
    watcher.ended("u", config(THIRD))
    assert again().points() == [OTHER, THIRD]


def test_a_trial_that_diverged_is_not_on_the_plots_axis() -> None:
    finished = [Tried({}, "finished", {50: {"validation": 1850.0 + n}}) for n in range(4)]
    diverged = Tried({}, "failed", {3: {"validation": 5200.0}})
    with_it, without = (pictures.search([*finished, each], "validation") for each in (diverged, Tried({})))
    assert with_it == without
