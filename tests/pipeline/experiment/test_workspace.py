"""Workspaces: made, committed, cloned, moved, mended."""

import shutil
from pathlib import Path

import pytest

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.experiment import params, repair, stage_modules
from pipeline.experiment import workspace as workspaces
from pipeline.studies import dvc_stages
from pipeline.trials import studies_yaml
from tests.helpers.checkout import Vaepipe
from tests.helpers.workspaces import dvc, git

NO_SCM = "[core]\n    no_scm = true\n"


def wrong(folder: Path) -> list[str]:
    return [fault.what for fault in repair.faults(folder)]


def test_a_workspace_outside_git_becomes_a_repository_which_takes_none_of_dvc_s_files(
    workspace: Path,
) -> None:
    folder = workspace / "w"
    workspaces.create(folder)
    outs = ("data/raw/x", "models/red.safetensors", "modules/x")
    for place in (*outs, ".dvc/cache/x", ".dvc/tmp/x", ".vaepipe/x"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).touch()
    git(folder, "add", "--all")
    assert set(git(folder, "ls-files").split()) == {*workspaces.TEMPLATE, ".gitignore"}
    assert wrong(folder) == []


def test_inside_a_repository_it_is_part_of_that(workspace: Path) -> None:
    git(workspace, "init", "--quiet")
    workspaces.create(workspace / "w")
    assert not (workspace / "w/.git").exists()
    assert not (workspace / "w/.dvc/config.local").exists()
    assert wrong(workspace / "w") == []


def test_where_git_ignores_it_it_is_a_repository_of_its_own(workspace: Path) -> None:
    git(workspace, "init", "--quiet")
    (workspace / ".gitignore").write_text("/w/\n")
    workspaces.create(workspace / "w")
    assert (workspace / "w/.git").exists()


def test_without_git_dvc_does_without(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    workspaces.create(workspace / "w")
    assert (workspace / "w/.dvc/config.local").read_text() == NO_SCM
    assert wrong(workspace / "w") == []
    monkeypatch.undo()
    assert dvc("status", cwd=workspace / "w").returncode == 0


def test_no_scm_ends_with_git_init(workspace: Path, vaepipe: Vaepipe) -> None:
    """A setting that an earlier vaepipe left in the file that is committed, and this one in the local one."""
    folder = workspace / "w"
    workspaces.create(folder, git=False)
    config = folder / ".dvc/config"
    text = config.read_text()
    config.write_text("# mine\n" + text.replace("[core]\n", "[core]\n    no_scm = true\n"))
    git(folder, "init", "--quiet")
    done = vaepipe("init", str(folder))
    assert done.returncode == 0
    assert done.stdout.count("has no_scm") == 2
    assert config.read_text() == "# mine\n" + text
    assert (folder / ".dvc/config.local").read_text() == "[core]\n"
    assert wrong(folder) == []


def test_a_workspace_of_links_is_mended(workspace: Path, vaepipe: Vaepipe) -> None:
    """As an earlier vaepipe made them, and as `dvc exp apply` left them: a link, and a copy of some files."""
    folder = workspace / "w"
    workspaces.create(folder)
    (folder / "vae").symlink_to(workspace / "gone")
    (folder / "pipeline").mkdir()
    (folder / "pipeline/board.py").write_text("old")
    old = "stages:\n  download:\n    cmd: vaepipe download\n    deps: [pipeline/board.py]\n"
    (folder / "dvc.yaml").write_text(old)
    (folder / "studies").mkdir()
    (folder / "studies/dvc.yaml").write_text("stages: {study: {foreach: 1, do: {deps: [pipeline/x.py]}}}\n")
    (folder / ".dvc/.gitignore").unlink()
    (folder / ".gitignore").write_text("/mine")
    assert len(wrong(folder)) == 6
    assert len(wrong(folder)) == 6  # nothing was changed by looking
    params.change(folder / paths.PARAMS, {"model": {"latent": 7}})
    done = vaepipe("init", str(folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mended: ") == 6
    assert done.stdout.endswith(f"{folder} is ready\n")
    assert wrong(folder) == []
    assert not (folder / "vae").is_symlink()
    assert not (folder / "pipeline").exists()
    assert params.read(folder / paths.PARAMS).model.latent == 7
    assert (folder / ".gitignore").read_text().startswith("/mine\n/modules\n")
    kept = {path.name: path.read_text() for path in (folder / repair.REPLACED).rglob("*") if path.is_file()}
    assert kept["board.py"] == "old"
    assert old in {path.read_text() for path in (folder / repair.REPLACED).rglob("dvc.yaml")}
    assert "nothing was changed" in vaepipe("init", str(folder)).stdout


def test_the_checkout_is_a_workspace_that_needs_no_mending() -> None:
    assert workspaces.is_workspace(stage_modules.ROOT)
    assert not [what for what in wrong(stage_modules.ROOT) if "no git repository" not in what]


@pytest.mark.parametrize("text", ["stages: {train: {cmd: python train.py}}\n", "stages: []\n", "- 1\n", ""])
def test_somebody_else_s_dvc_yaml_is_none_of_ours(workspace: Path, vaepipe: Vaepipe, text: str) -> None:
    paths.DVC_YAML.write_text(text)
    for command in ("init", "demo"):
        done = vaepipe(command, ".")
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
    assert [path.name for path in workspace.iterdir()] == ["dvc.yaml"]
    assert paths.DVC_YAML.read_text() == text


def test_demo_does_not_run_somebody_s_experiment(workspace: Path) -> None:
    workspaces.create(workspace / "w", {"data": {"source": "/my/pictures"}})
    with pytest.raises(PipelineError, match="holds something else than a demo; name another folder"):
        workspaces.demo(workspace / "w")


@pytest.mark.slow
def test_a_moved_and_a_cloned_workspace_are_whole(workspace: Path) -> None:
    workspaces.create(workspace / "w")
    git(workspace / "w", "add", "--all")
    git(workspace / "w", "commit", "--quiet", "--message", "a workspace")
    git(workspace, "clone", "--quiet", "w", "clone")
    (workspace / "w").rename(workspace / "moved")
    for name in ("clone", "moved"):
        assert wrong(workspace / name) == []
        done = dvc("repro", "prepare", cwd=workspace / name)
        assert done.returncode == 0, done.stderr


class Dvc:
    """Stands in for DVC: notes what it is asked, and lets stages come to an end or not."""

    def __init__(self, ends: bool) -> None:
        self.ends = ends
        self.asked: list[str] = []

    def __call__(self, arguments: list[str], folder: Path, **variables: str) -> int:
        self.asked += arguments
        self.declared = dvc_stages._stages(dvc_stages.FILE)
        if self.ends:
            dvc_stages.LOCK.write_text(
                f"stages: {{{', '.join(f'{name}: {{}}' for name in self.declared)}}}\n"
            )
        return 0 if self.ends else 1


@pytest.fixture
def studies(workspace: Path) -> Path:
    """A folder with studies.yaml."""
    shutil.copy(workspaces.template() / "studies.yaml", workspace)
    paths.STUDIES.mkdir()
    return workspace


def test_a_study_is_a_stage_once_it_has_run_as_one(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = studies_yaml.read()
    monkeypatch.setattr(workspaces, "run_dvc", failing := Dvc(ends=False))
    with pytest.raises(PipelineError, match="dvc repro failed"):
        dvc_stages.run(["latent"], found)
    assert failing.asked == ["repro", "studies/dvc.yaml:latent"]
    assert failing.declared == ["latent"]
    assert not dvc_stages.FILE.exists()

    monkeypatch.setattr(workspaces, "run_dvc", Dvc(ends=True))
    dvc_stages.run(["width", "latent"], found)
    assert dvc_stages._stages(dvc_stages.FILE) == ["latent", "width"]  # in the order of studies.yaml
    monkeypatch.setattr(workspaces, "run_dvc", Dvc(ends=False))
    with pytest.raises(PipelineError, match="dvc repro failed"):
        dvc_stages.run(["latent", "epochs"], found)
    assert dvc_stages._stages(dvc_stages.FILE) == ["latent", "width"]
