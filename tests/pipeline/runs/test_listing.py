"""`vaepipe runs`: what is on disk, and what may go."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.common import files, paths
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from pipeline.runs import identity, listing
from pipeline.runs.checkpoints import Checkpoints
from tests.helpers.checkout import ROOT, Vaepipe
from tests.helpers.fits import TRAIN, fresh, images
from vae.fit import fit
from vae.modelfile import save_model

BOTH = ("red", "green")
READ = params.read(ROOT / "params.yaml")


@pytest.fixture
def two_runs(workspace: Path) -> str:
    """The storage of a workspace with a finished run, whose models are there, and one that was cut off."""
    workspaces.create(workspace / "w")
    storage = str(workspace / "w" / paths.runs())
    model = replace(READ.model, latent=10)
    for name, shape, done in (("finished", READ.model, 4), ("cut-off", model, 2)):
        checkpoints = Checkpoints(storage, name, BOTH)
        checkpoints.describe(components=BOTH, model=asdict(shape), train=asdict(TRAIN), images=64)
        for epoch in fit(images(*BOTH), fresh(*BOTH), replace(TRAIN, epochs=done)):
            for state in epoch.states():
                checkpoints.save(state)
            checkpoints.prune(epoch.number)
        if name == "finished":
            made = workspace / "w" / paths.MODELS
            made.mkdir()
            save_model(made / "red.safetensors", epoch.states()[0])
            checkpoints.describe(models=[files.md5(made / "red.safetensors")])
    return storage


def test_what_is_there(two_runs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(two_runs).parents[1])
    cut_off, finished = listing.list_runs(two_runs)
    assert (cut_off.name, cut_off.epochs, cut_off.asked, cut_off.images) == ("cut-off", 2, 4, 64)
    assert (finished.epochs, finished.made_models, cut_off.made_models) == (4, True, False)
    on_disk = sum(f.stat().st_size for f in (Path(two_runs) / "finished").rglob("*") if f.is_file())
    assert finished.size == on_disk > 10_000
    console = Console(width=150, record=True)
    current = params.Params(READ.data, READ.synthetic, READ.model, TRAIN, READ.merge)
    console.print(listing.table([cut_off, finished], current))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert any(line.startswith("cut-off 2 of 4") and line.endswith("64 model.latent 10") for line in lines)
    assert any(line.endswith("64 as in params.yaml from it") for line in lines)


def test_an_epoch_that_lacks_a_component_does_not_count(two_runs: str) -> None:
    (Path(two_runs) / "cut-off/epoch-000002/green.safetensors").unlink()
    assert listing.list_runs(two_runs)[0].epochs == 1


def test_a_run_of_which_nothing_is_known(two_runs: str) -> None:
    (Path(two_runs) / "cut-off/about.json").write_text("{")
    run = listing.list_runs(two_runs)[0]
    assert (run.epochs, run.parameters) == (2, {})


@pytest.mark.slow
def test_pruning_asks_and_keeps_what_the_models_came_from(
    two_runs: str, vaepipe: Vaepipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(two_runs).parents[1])
    before = sorted(Path(two_runs).rglob("*"))
    asked = vaepipe("runs", "--prune")
    assert asked.returncode == 1
    assert "Delete cut-off, with the checkpoints to go on from?" in asked.stdout
    assert sorted(Path(two_runs).rglob("*")) == before
    done = vaepipe("runs", "--prune", "--yes")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "deleted cut-off")
    assert [run.name for run in listing.list_runs(two_runs)] == ["finished"]
    assert vaepipe("runs", "--storage", "nowhere://x").returncode == 1
    assert vaepipe("runs", "--storage", str(Path(two_runs) / "none")).stdout.startswith("no runs in ")


def test_a_run_that_is_being_trained_is_not_removed_from_any_workspace(
    two_runs: str, vaepipe: Vaepipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspaces.create(tmp_path / "other")
    monkeypatch.chdir(tmp_path / "other")
    with identity.locked(two_runs, "cut-off"):
        done = vaepipe("runs", "--storage", two_runs, "--prune", "--yes")
    assert done.returncode == 1
    assert done.stderr.startswith("error: run cut-off is being trained by process ")
    assert "deleted finished" in done.stdout
    assert [run.name for run in listing.list_runs(two_runs)] == ["cut-off"]


def test_other_folders_of_a_storage_are_no_runs(
    two_runs: str, vaepipe: Vaepipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as where somebody names a home as --storage."""
    mine = Path(two_runs) / "holidays/1.png"
    mine.parent.mkdir()
    mine.touch()
    monkeypatch.chdir(Path(two_runs).parents[1])
    done = vaepipe("runs", "--storage", two_runs, "--prune", "--yes")
    assert done.returncode == 0, done.stderr
    assert "holidays" not in done.stdout
    assert "deleted cut-off" in done.stdout
    assert mine.exists()


def test_a_run_that_holds_somebody_s_file_is_not_removed(
    two_runs: str, vaepipe: Vaepipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = Path(two_runs) / "cut-off/epoch-000002/notes.txt"
    mine.touch()
    monkeypatch.chdir(Path(two_runs).parents[1])
    done = vaepipe("runs", "--prune", "--yes")
    assert done.returncode == 1
    assert "cut-off: holds epoch-000002/notes.txt, which vaepipe did not write; move it" in done.stderr
    assert mine.exists()
    assert (Path(two_runs) / "cut-off/about.json").exists()


def test_what_a_run_says_of_itself_may_be_anything(two_runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Lists for mappings, numbers for lists, folders for files, and rich's markup in names."""
    storage = Path(two_runs)
    strange = ("[]", "7", '{"model": 3, "components": 4, "models": {"a": 1}, "images": []}', "[" * 5000)
    for number, about in enumerate(strange):
        for name in (f"strange-{number}", f"[bold] {number} copy"):
            (storage / name / "epoch-000001").mkdir(parents=True)
            (storage / name / "about.json").write_text(about)
    for name in ("epoch-abc", "epoch-1", "epoch-000002"):
        (storage / "finished" / name).touch()
    (storage / "cut-off/about.json").unlink()
    (storage / "cut-off/about.json").mkdir()
    (storage / "finished.holder").mkdir()
    models = storage.parents[1] / paths.MODELS
    (models / "green.safetensors").symlink_to("nowhere")
    (models / "blue.safetensors").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(storage.parents[1])
        found = listing.list_runs(two_runs)
        assert len(found) == 10
        assert [run.name for run in listing.removable(found)] == [
            r.name for r in found if r.name != "finished"
        ]
        Console(width=200).print(listing.table(found, READ))
        assert "[bold] 3 copy" in capsys.readouterr().out
        with identity.locked(two_runs, "finished"):  # its holder's name cannot be written down
            pass
