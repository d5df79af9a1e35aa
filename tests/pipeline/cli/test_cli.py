"""What people see who ask for what cannot be: one line, a status, nothing changed."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.experiment import workspace as workspaces
from pipeline.runs.checkpoints import Checkpoints
from pipeline.stages import convert, split
from tests.helpers.checkout import CUT, Vaepipe

pytestmark = pytest.mark.slow  # each is a process


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
        (["train", "--workers", "0"], "--workers"),
        (["train", "--max-failures", "-1"], "--max-failures"),
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


@pytest.mark.parametrize(
    "command", ["train", "preset apply joint", "split", "studies", "study latent", "runs"]
)
def test_in_a_folder_of_a_workspace_it_is_said_where_that_is(
    workspace: Path, vaepipe: Vaepipe, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    workspaces.create(workspace / "w")
    (workspace / "w/data/deep").mkdir(parents=True)
    monkeypatch.chdir(workspace / "w/data/deep")
    done = vaepipe(*command.split())
    assert f"; the workspace is {workspace / 'w'}: cd there" in done.stdout + done.stderr
    assert done.returncode == (0 if command == "runs" else 1)
    assert list(Path().iterdir()) == []


def test_a_workspace_within_another_folder_of_the_kind_is_meant_itself(
    workspace: Path, vaepipe: Vaepipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspaces.create(workspace / "w")
    workspaces.create(workspace / "w/demo")
    monkeypatch.chdir(workspace / "w/demo")
    assert "data/svhn.h5: not found; run `dvc repro` to make it" in vaepipe("split").stderr
    paths.PARAMS.unlink()
    assert "vaepipe init DIR" in vaepipe("train").stderr


def test_lines_are_whole_where_there_is_no_terminal(
    workspace: Path, vaepipe: Vaepipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspaces.create(workspace / "w")
    monkeypatch.chdir(workspace / "w")
    name, parameters = "a-name-" * 15, {"activation": "a-value-" * 15, "latent": 7}
    Checkpoints(str(paths.runs().absolute()), name, ("red",)).describe(components=("red",), model=parameters)
    shown = vaepipe("runs", COLUMNS="80").stdout
    [line] = [line for line in shown.splitlines() if line.split()[:1] == [name]]
    assert f"model.activation {parameters['activation']}, model.latent 7" in line


@pytest.mark.parametrize("command", ["runs", "studies", "preset list", "preset show joint", "--help"])
def test_a_reader_that_has_seen_enough_is_no_error(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    workspaces.create(workspace / "w")
    monkeypatch.chdir(workspace / "w")
    Checkpoints(str(paths.runs().absolute()), "some", ("red",)).describe(components=("red",))
    reader, writer = os.pipe()
    os.close(reader)
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *command.split()],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert ran.stderr == b""


def test_standard_output_that_is_full(workspace: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", "preset", "list"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (1, "error: standard output: No space left on device\n")


@pytest.mark.parametrize(
    "error",
    ["MemoryError()", "RuntimeError('can\\'t allocate memory')", "ImportError('x: failed to map segment')"],
)
def test_a_full_memory_is_one_line_whoever_says_it(workspace: Path, error: str) -> None:
    code = (
        "import sys; from pipeline.cli.main import main; from pipeline.experiment import presets\n"
        f"def refuse(name): raise {error}\n"
        "presets.shown, sys.argv = refuse, ['vaepipe', 'preset', 'show', 'joint']\n"
        "main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert re.fullmatch(
        r"error: out of memory \(.+\); close other programs, or take a larger machine\n", ran.stderr
    )


def test_what_nobody_has_explained_is_one_line_too(workspace: Path) -> None:
    code = (
        "import sys; from pipeline.cli.main import main; from pipeline.experiment import presets\n"
        "def refuse(name): raise PermissionError(13, 'Permission denied', 'some/file')\n"
        "presets.shown, sys.argv = refuse, ['vaepipe', 'preset', 'show', 'joint']\n"
        "main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "error: some/file: Permission denied\n")


@pytest.mark.parametrize("command", ["", "train", "preset", "preset apply", "cluster", "encode", "studies"])
def test_h_is_help(vaepipe: Vaepipe, command: str) -> None:
    short, long = vaepipe(*command.split(), "-h"), vaepipe(*command.split(), "--help")
    assert short.returncode == 0
    assert (short.stdout, short.stderr) == (long.stdout, "")
    assert f"Usage: vaepipe {command}".rstrip() in short.stdout


def test_the_version_without_loading_anything() -> None:
    code = (
        "import sys; sys.argv = ['vaepipe', '--version']\n"
        "from pipeline.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code\n"
        "assert not {'torch', 'ray', 'numpy', 'h5py', 'dvc', 'pydantic', 'psutil'} & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "vaepipe 0.1.0\n", "")


def test_python_m_pipeline_is_the_same(vaepipe: Vaepipe) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "trian"], capture_output=True, text=True, check=False
    )
    same = vaepipe("trian")
    assert (ran.returncode, ran.stderr) == (same.returncode, same.stderr) == (2, same.stderr)
    assert "vaepipe" in same.stderr


def test_shells_are_told_what_to_complete(vaepipe: Vaepipe) -> None:
    asked = {"_VAEPIPE_COMPLETE": "complete_bash", "COMP_WORDS": "vaepipe preset ap", "COMP_CWORD": "2"}
    assert vaepipe(**asked).stdout.split() == ["apply"]
    assert (
        "complete"
        in vaepipe(
            "--show-completion", "bash", **{"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
        ).stdout
    )


@pytest.mark.parametrize(
    "arguments", [["init", "~/w"], ["runs", "--storage=~/w"], ["sample", "-o", "~/w.png"]]
)
def test_a_tilde_is_the_home_folder(workspace: Path, vaepipe: Vaepipe, arguments: list[str]) -> None:
    done = vaepipe(*arguments, HOME=str(workspace / "home"))
    assert str(workspace / "home") in done.stdout + done.stderr
    assert not Path("~").exists()


def test_storage_may_be_relative(workspace: Path, vaepipe: Vaepipe, monkeypatch: pytest.MonkeyPatch) -> None:
    workspaces.create(workspace / "w")
    monkeypatch.chdir(workspace / "w")
    Checkpoints(str(Path("kept").absolute()), "some", ("red",)).describe(components=("red",))
    assert "some" in vaepipe("runs", "--storage", "kept").stdout
    assert "some" in vaepipe("runs", VAEPIPE_STORAGE="kept").stdout
