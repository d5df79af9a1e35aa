"""A search without Ray: its journal, and Optuna's points."""

from pathlib import Path

import pytest

from pipeline import layout
from pipeline.errors import PipelineError
from pipeline.studies.declared import Range, Search
from pipeline.studies.journal import Journal, Tried, name
from pipeline.studies.space import Fresh, decoded, encoded

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
    layout.SEARCHES.mkdir(parents=True)
    (layout.SEARCHES / "key.jsonl").write_text("{}\n")
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
