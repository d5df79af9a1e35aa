"""Presets: each is a valid params.yaml, written without touching what it is not about."""

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import main
from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.experiment import params, presets
from tests.helpers.checkout import ROOT, Vaepipe
from vae.config import PAPER_MODEL, PAPER_TRAIN


@pytest.fixture
def here(workspace: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", workspace)
    return workspace


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_sets_all_of_the_model_and_its_training(here: Path, name: str) -> None:
    before = params.read()
    presets.apply(name)
    read = params.read()
    assert (read.data, read.synthetic, read.merge) == (before.data, before.synthetic, before.merge)
    preset = presets.PRESETS[name]
    model = {key: tuple(v) if isinstance(v, list) else v for key, v in preset.model.items()}
    assert asdict(read.model) == model
    assert asdict(read.train) == {
        **preset.train,
        "seed": before.train.seed,
        "precision": before.train.precision,
    }
    assert preset.train["epochs"] == 50
    assert preset.train["batch_size"] == 100


def test_paper_is_the_default_and_the_papers(here: Path) -> None:
    text = paths.PARAMS.read_text()
    assert presets.apply("paper") == []
    assert paths.PARAMS.read_text() == text
    read = params.read()
    assert (read.model, read.train) == (PAPER_MODEL, PAPER_TRAIN)


def test_comments_stay_and_what_changed_is_said(here: Path) -> None:
    said = presets.apply("joint")
    assert "model.channels separate -> joint" in said
    comments = [line.partition("#")[2] for line in (ROOT / "params.yaml").read_text().splitlines()]
    assert [line.partition("#")[2] for line in paths.PARAMS.read_text().splitlines()] == comments
    presets.apply("paper")
    assert params.read() == params.read(ROOT / "params.yaml")


def test_a_preset_that_is_none(here: Path) -> None:
    with pytest.raises(PipelineError, match=r"^best: no such preset; there are paper, separate, "):
        presets.apply("best")
    with pytest.raises(PipelineError, match=r"^best: no such preset"):
        presets.shown("best")


def test_a_broken_params_yaml_is_left_alone(here: Path) -> None:
    paths.PARAMS.write_text(paths.PARAMS.read_text().replace("latent: 20", "latent: many"))
    text = paths.PARAMS.read_text()
    with pytest.raises(PipelineError, match=r"model.latent is \"many\", but must be a whole number"):
        presets.apply("joint")
    assert paths.PARAMS.read_text() == text


def test_the_commands(here: Path) -> None:
    listed = CliRunner().invoke(main.app, ["preset", "list"])
    assert [line.split()[0] for line in listed.output.splitlines()[::2]] == list(presets.PRESETS)
    shown = CliRunner().invoke(main.app, ["preset", "show", "conditional"])
    assert "  conditional: true\n" in shown.output
    applied = CliRunner().invoke(main.app, ["preset", "apply", "conditional"])
    assert "model.conditional false -> true" in applied.output
    assert shown.output.strip() == presets.shown("conditional")


def test_a_preset_shows_in_dvc_s_own_words(here: Path, vaepipe: Vaepipe) -> None:
    done = vaepipe("preset", "apply", "nothing")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: nothing: no such preset; there are paper, ")
