"""What people see who ask for what cannot be: one line, a status, nothing changed."""

import os
import socket
from pathlib import Path

import pytest
from conftest import CUT, Vaepipe

from pipeline import workspace as workspaces
from pipeline.errors import PipelineError
from pipeline.stages import convert, split


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["download"], "params.yaml: not found in"),
        (["convert"], "params.yaml: not found in"),
        (["split"], "data/svhn.h5: not found; run `dvc repro` to make it"),
        (["init", "."], ".: not an empty folder"),
    ],
)
def test_what_is_missing_is_named(workspace: Path, vaepipe: Vaepipe, arguments: list[str], said: str) -> None:
    (workspace / "mine").touch()
    done = vaepipe(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1
    assert [p.name for p in workspace.iterdir() if p.name != "data"] == ["mine"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--gpus", "three"], "neither a number"),
        (["train", "--workers", "0"], "greater than or equal to 1"),
        (["train", "--max-failures", "-1"], "greater than or equal to 0"),
        (["trian"], "No such command"),
    ],
)
def test_options_that_make_no_sense(
    workspace: Path, vaepipe: Vaepipe, arguments: list[str], said: str
) -> None:
    workspaces.create(workspace / "w")
    done = vaepipe(*arguments)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_train_and_merge_say_what_to_run_first(
    workspace: Path, vaepipe: Vaepipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspaces.create(workspace / "w")
    monkeypatch.chdir(workspace / "w")
    for stage in ("train", "merge"):
        done = vaepipe(stage)
        assert done.returncode == 1
        assert "data/channels/red.h5: not found; run `dvc repro` to make it" in done.stderr


def test_an_address_where_no_ray_is_is_refused_at_once(raw: Path, vaepipe: Vaepipe) -> None:
    workspaces.create(raw / "w")
    (raw / "data").rename(raw / "w/data")
    os.chdir(raw / "w")
    convert.run(*CUT)
    split.run()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    done = vaepipe("train", "--address", address)
    assert done.returncode == 1
    assert f"error: --address {address}: no Ray cluster answers there" in done.stderr


def test_a_workspace_has_what_dvc_needs(workspace: Path) -> None:
    workspaces.create(workspace / "new", workspaces.DEMO)
    made = workspace / "new"
    for name in workspaces.TEMPLATE:
        assert (made / name).is_file(), name
    assert not list(made.rglob("*.py"))
    assert not any(path.is_symlink() for path in made.rglob("*"))
    text = (made / "params.yaml").read_text()
    assert "source: synthetic" in text
    assert "# share of the training images" in text  # comments stay


def test_a_workspace_is_never_made_over_something(workspace: Path) -> None:
    (workspace / "mine").mkdir()
    (workspace / "mine/file").touch()
    with pytest.raises(PipelineError, match="not an empty folder; name another, or empty it"):
        workspaces.create(workspace / "mine")
    assert [p.name for p in (workspace / "mine").iterdir()] == ["file"]
