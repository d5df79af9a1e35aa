"""Options that say where to compute, from the command line to what computes."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pipeline.cli import main
from pipeline.experiment import workspace as workspaces
from pipeline.trials.tuner import TrialCompute
from tests.helpers.checkout import ROOT


@pytest.mark.parametrize(
    ("command", "runner", "place"),
    [("study seeds", "pipeline.studies.run.run", 3), ("tune", "pipeline.search.run.run", 2)],
)
def test_trials_get_the_options_of_their_command(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, command: str, runner: str, place: int
) -> None:
    workspaces.create(workspace / "w", workspaces.DEMO)
    monkeypatch.chdir(workspace / "w")
    given: list[Any] = []
    monkeypatch.setattr(runner, lambda *arguments: given.append(arguments[place]))
    options = "--workers 3 --storage s --address host:1 --max-failures 5 --checkpoint-seconds 7 --per-gpu 4"
    for line in (f"{command} {options} --threads 6", f"{command} --gpus 2"):
        done = CliRunner().invoke(main.app, line.split())
        assert done.exit_code == 0, done.output
    storage = str(workspace / "w/s")
    assert given == [
        TrialCompute(
            workers=3,
            storage=storage,
            address="host:1",
            max_failures=5,
            checkpoint_seconds=7,
            per_gpu=4,
            threads=6,
        ),
        TrialCompute(gpus=2),
    ]


def test_every_variable_is_in_the_docs() -> None:
    named: set[str] = set()
    for command in typer.main.get_command(main.app).commands.values():  # type: ignore[attr-defined]
        for option in command.params:
            given = option.envvar or ()
            named |= {given} if isinstance(given, str) else set(given)
    table = re.findall(r"^\| (`[A-Z_]+`.*?) \| `--", (ROOT / "docs/cluster.md").read_text(), re.M)
    assert {name for row in table for name in re.findall(r"`(\w+)`", row)} == named
    assert len(named) == 10
