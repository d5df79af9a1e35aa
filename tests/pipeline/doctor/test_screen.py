"""The doctor's screen, in workspaces and outside."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pipeline.cli import main
from pipeline.common import machine_limits, paths
from pipeline.common.machine_limits import Memory
from pipeline.doctor import machine, run, source, speed
from pipeline.doctor.checks import Answer, Finding
from pipeline.doctor.speed import SpeedResult
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from tests.helpers.doctor import GB


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[speed.SpeedTest]:
    """The jobs that were to be measured: 1,000 images a second, at once."""
    jobs: list[speed.SpeedTest] = []

    def measure(job: speed.SpeedTest, ranks: int) -> tuple[list[SpeedResult], str]:
        jobs.append(job)
        return [SpeedResult("cpu", 1, 1000.0, ())] * ranks, ""

    monkeypatch.setattr(machine, "measure", measure)
    monkeypatch.setattr(machine_limits, "cores", lambda: 2)
    monkeypatch.setattr(machine_limits, "memory", lambda: Memory(8 * GB, 6 * GB, limited=False))
    monkeypatch.setattr(machine, "free", lambda path: 100 * GB)
    return jobs


def small(folder: Path) -> None:
    workspaces.create(
        folder,
        {
            "data": {"source": params.SYNTHETIC},
            "synthetic": {"train": 2000, "test": 300},
            "train": {"epochs": 10},
            "model": {"latent": 7},
        },
        git=False,
    )


def test_a_workspace_that_is_ready(
    workspace: Path, measured: list[speed.SpeedTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    small(workspace / "w")
    monkeypatch.chdir("w")
    done = CliRunner().invoke(main.app, ["doctor"])
    assert done.exit_code == 0, done.output
    *lines, last = done.stdout.splitlines()
    assert last.startswith("Ready")
    assert {line.split()[0] for line in lines} <= {"ok", "warning"}
    found = {line[9:].split("  ")[0].strip(): line for line in lines}
    assert "2,000 train, 300 test images" in found["params.yaml"]
    assert "generated here" in found["source"]
    assert found["Ray's folder"].endswith("/s")
    assert "DVC's cache only links to them" in found["disk"]
    # 10 epochs of 1,900 images of three channels, 2,000 channel images a second.
    assert "about 28 s for 10 epochs of 1,900 images" in found["training time"]
    assert (measured[0].model.latent, measured[0].train.batch_size, measured[0].seconds) == (7, 100, 2.0)
    assert sorted(p.name for p in Path().iterdir() if p.name.startswith(".doctor")) == []
    (Path(".dvc") / "config.local").write_text("[cache]\n    type = copy\n")
    assert "DVC's cache holds copies" in CliRunner().invoke(main.app, ["doctor"]).stdout


def test_a_wrong_parameter_is_one_line_and_a_problem(
    workspace: Path, measured: list[speed.SpeedTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    small(workspace / "w")
    monkeypatch.chdir("w")
    monkeypatch.setattr(source, "_head", lambda url: pytest.fail("the default source is no concern here"))
    text = paths.PARAMS.read_text()
    paths.PARAMS.write_text(text.replace("latent: 7", "latent: 0"))
    done = CliRunner().invoke(main.app, ["doctor"])
    assert done.exit_code == 1
    [line] = [line for line in done.stdout.splitlines() if " params.yaml " in line]
    assert line.startswith("problem")
    assert "model.latent is 0, but must be from 1 to 65,536 -> mend it" in line
    assert done.stdout.splitlines()[-1].startswith("Not ready")
    assert " source " not in done.stdout  # of the defaults, so no news of this workspace
    paths.PARAMS.unlink()
    paths.PARAMS.mkdir()
    done = CliRunner().invoke(main.app, ["doctor"])
    assert done.exit_code == 1
    assert "cannot be read: Is a directory" in done.stdout


def test_outside_a_workspace_the_rest_is_checked(
    workspace: Path, measured: list[speed.SpeedTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_head", lambda url: Answer(url.rpartition("/")[2], None))
    done = CliRunner().invoke(main.app, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "is none: the rest is checked with the default parameters" in done.stdout
    assert "50 epochs of 69,595 images" in done.stdout
    assert list(workspace.iterdir()) == []


def test_a_terminal_of_100_columns_holds_a_table() -> None:
    console = Console(width=100, force_terminal=True, record=True, file=io.StringIO())
    words = "word " * 40
    run.show([Finding("warning", "disk", words, words), Finding("ok", "cores", "2")], console)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("warning") for line in lines) == 1
    assert lines[1].startswith(" " * 16 + "word")
