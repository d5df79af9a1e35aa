"""Runs and their checkpoints on disk."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data.images import Images
from pipeline.experiment import stage_modules
from pipeline.runs import identity
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.run_folder import RunFolder, names
from pipeline.trials import planning
from tests.helpers.checkout import ROOT
from tests.helpers.fits import MODEL, TRAIN, fresh, images
from vae import modelfile
from vae.fit import fit
from vae.stack import TrainingState

PIXELS = {"red": np.zeros((4, 9), np.uint8), "green": np.ones((4, 9), np.uint8)}
SEEN = Images(PIXELS, (3, 3), np.arange(4, dtype=np.uint8), ())
NONE = SEEN.part(slice(0, 0))


def test_a_run_is_named_by_all_that_shapes_its_result() -> None:
    name = identity.run_hash(SEEN, NONE, MODEL, TRAIN)
    assert name == identity.run_hash(replace(SEEN, pixels=copied()), NONE, MODEL, TRAIN)
    touched = copied()
    touched["green"][3, 8] = 0
    swapped = {"red": PIXELS["green"], "green": PIXELS["red"]}
    others = [
        identity.run_hash(replace(SEEN, pixels=touched), NONE, MODEL, TRAIN),
        identity.run_hash(replace(SEEN, pixels=swapped), NONE, MODEL, TRAIN),
        identity.run_hash(SEEN, SEEN, MODEL, TRAIN),
        *(
            identity.run_hash(SEEN, NONE, replace(MODEL, **change), TRAIN)
            for change in (
                {"latent": 5},
                {"hidden": (17,)},
                {"activation": "gelu"},
                {"channels": "joint"},
                {"likelihood": "gaussian"},
                {"centred": True},
            )
        ),
        *(
            identity.run_hash(SEEN, NONE, MODEL, replace(TRAIN, **change))
            for change in (
                {"batch_size": 11},
                {"learning_rate": 0.02},
                {"seed": 1},
                {"warmup": 1},
                {"kl_warmup": 1},
                {"decay": "cosine"},
                {"samples": 2},
            )
        ),
    ]
    assert len({name, *others}) == 1 + len(others)


def test_epochs_name_a_run_where_they_shape_it() -> None:
    longer = replace(TRAIN, epochs=9)
    # Raising them goes on.
    assert identity.run_hash(SEEN, NONE, MODEL, longer) == identity.run_hash(SEEN, NONE, MODEL, TRAIN)
    # With a learning rate that falls until the last step, the first epochs are others.
    falling, longer = replace(TRAIN, decay="cosine"), replace(longer, decay="cosine")
    assert identity.run_hash(SEEN, NONE, MODEL, longer) != identity.run_hash(SEEN, NONE, MODEL, falling)


def test_labels_name_a_run_where_the_model_is_told_them() -> None:
    others = replace(SEEN, labels=np.ones(4, np.uint8))
    told = replace(MODEL, channels="joint", conditional=True)
    assert identity.run_hash(SEEN, NONE, MODEL, TRAIN) == identity.run_hash(others, NONE, MODEL, TRAIN)
    assert identity.run_hash(SEEN, NONE, told, TRAIN) != identity.run_hash(others, NONE, told, TRAIN)


def copied() -> dict[str, np.ndarray]:
    return {component: pixels.copy() for component, pixels in PIXELS.items()}


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the packages, which counts as what is installed."""
    for package in stage_modules.PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(stage_modules, "ROOT", tmp_path)
    caches = (stage_modules.installed, stage_modules.imports)
    for cached in caches:
        cached.cache_clear()
    yield tmp_path
    for cached in caches:
        cached.cache_clear()


def hashes() -> tuple[str, str]:
    """Of a run, and of the code of trials."""
    digest = hashlib.blake2b()
    planning.add_sources(digest)
    return identity.run_hash(SEEN, NONE, MODEL, TRAIN), digest.hexdigest()


@pytest.mark.parametrize(
    ("module", "of_runs", "of_trials"),
    [
        ("vae/step.py", True, True),
        ("vae/likelihood.py", True, True),
        ("vae/baseline.py", False, True),  # trials find the floor by it
        ("pipeline/evaluation/metrics.py", False, True),
        ("vae/pretrained.py", False, False),
        ("vae/classifier.py", False, False),
        ("pipeline/report/page.py", False, False),
        ("pipeline/trials/tuner.py", False, False),
    ],
)
def test_a_comment_in_a_module_that_is_run_names_another_run(
    code: Path, module: str, of_runs: bool, of_trials: bool
) -> None:
    """And one in any other module names none: nothing is trained again."""
    before = hashes()
    with (code / module).open("a") as file:
        file.write("# a comment\n")
    run, trial = (old != new for old, new in zip(before, hashes(), strict=True))
    assert (run, trial) == (of_runs, of_trials)


HOLD = """
from pathlib import Path
from pipeline.runs import identity
with identity.locked(str(Path.cwd()), "abc"): print("held", flush=True); input()
"""


def test_a_run_is_held_by_one_process_which_is_named(workspace: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(PipelineError, match=f"run abc is being trained by process {holder.pid} on "):
            _hold()
        holder.kill()
    _hold()  # the kernel let go


def _hold() -> None:
    with identity.locked(str(Path.cwd()), "abc"):
        pass


@pytest.fixture(scope="module")
def epochs() -> dict[int, list[TrainingState]]:
    """The states of red and green after epochs 1 to 4."""
    both = fit(images("red", "green"), fresh("red", "green"), TRAIN)
    return {epoch.number: epoch.states() for epoch in both}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(str(tmp_path), "run", ("red", "green"))


def test_an_epoch_counts_once_all_its_files_are_whole(
    checkpoints: Checkpoints, epochs: dict[int, list[TrainingState]], tmp_path: Path
) -> None:
    assert checkpoints.latest() == 0
    for state in epochs[1]:
        checkpoints.save(state)
    assert checkpoints.latest() == 1
    checkpoints.save(epochs[2][0])  # green is not there yet
    assert checkpoints.latest() == 1
    checkpoints.save(epochs[2][1])
    assert checkpoints.latest() == 2
    green = tmp_path / "run" / "epoch-000002" / "green.safetensors"
    green.write_bytes(green.read_bytes()[:-10])  # a disk that filled up
    assert checkpoints.latest() == 1
    state = checkpoints.load(1, "red")
    assert (state.component, state.epoch) == ("red", 1)


def test_a_checkpoint_that_may_not_be_read_is_not_taken_for_a_damaged_one(
    checkpoints: Checkpoints, epochs: dict[int, list[TrainingState]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for state in epochs[1]:
        checkpoints.save(state)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(modelfile, "decode_checkpoint", refuse)
    with pytest.raises(
        PipelineError, match=r"epoch-000001/red\.safetensors: cannot be read: Permission denied"
    ):
        checkpoints.latest()


def test_old_epochs_are_deleted_and_one_spare_is_kept(
    checkpoints: Checkpoints, epochs: dict[int, list[TrainingState]], tmp_path: Path
) -> None:
    for number, states in epochs.items():
        for state in states:
            checkpoints.save(state)
        checkpoints.prune(number)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["epoch-000003", "epoch-000004"]


def test_a_node_that_does_not_share_the_storage_is_named(tmp_path: Path) -> None:
    here, there = (Checkpoints(str(tmp_path / name), "run", ("red",)) for name in ("here", "there"))
    mark = here.mark()
    here.check_shared(mark, "node-1")
    with pytest.raises(PipelineError, match="node node-2 does not see what the driver writes"):
        there.check_shared(mark, "node-2")
    # A mark that is there and cannot be read says nothing of whether the storage is shared.
    Path(here._mark("unreadable")).mkdir()
    with pytest.raises(PipelineError, match=r"here: node node-1 cannot read it: .*"):
        here.check_shared("unreadable", "node-1")


def test_storage_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match="cannot be written"):
        Checkpoints(str(tmp_path / "file"), "run", ("red",)).mark()
    with pytest.raises(PipelineError, match="--storage nowhere://x: cannot be used"):
        Checkpoints("nowhere://x", "run", ("red",))


def test_what_is_kept_belongs_to_the_workspace_that_an_experiment_was_started_from(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC runs --temp and its queue in copies that it deletes; the second has .dvc in a subfolder."""
    assert paths.runs() == Path(".vaepipe/runs")
    for copy in (workspace / ".dvc/tmp/exps/tmpabc", workspace / ".dvc/tmp/exps/tmpabc/sub"):
        copy.mkdir(parents=True)
        monkeypatch.chdir(copy)
        assert paths.runs() == workspace / ".vaepipe/runs"
        assert paths.downloads().is_relative_to(workspace / ".vaepipe")


def test_a_folder_with_nothing_but_a_driver_s_mark_is_found(tmp_path: Path) -> None:
    """What a killed driver of trials leaves, for the next one to remove."""
    RunFolder(str(tmp_path), "session-abc").mark()
    (tmp_path / "holidays").mkdir()
    assert names(str(tmp_path)) == ["session-abc"]
    RunFolder(str(tmp_path), "session-abc").delete()
    assert [path.name for path in tmp_path.iterdir()] == ["holidays"]
