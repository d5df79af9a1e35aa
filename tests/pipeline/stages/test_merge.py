"""classifier and merge for models that the paper did not have, on models that were hardly trained."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.data import images, store
from pipeline.stages import classifier as classifier_stage
from pipeline.stages import merge
from tests.helpers.merging import TINY, ready, write_channels
from tests.helpers.models import model


@pytest.fixture
def channels(workspace: Path, crops: tuple[np.ndarray, np.ndarray]) -> Path:
    """A workspace that holds data/channels: 200 training and 100 test crops, at half their size."""
    write_channels(crops[0][..., ::2, ::2], crops[1] % 10, 200)
    return workspace


@pytest.mark.slow
def test_a_joint_model_is_measured_as_one_picture(channels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = ready(model(channels="joint", **TINY), monkeypatch)
    merge.run(read)
    assert list(paths.CLASSIFIER_FOLDER.iterdir()) == [paths.NO_CLASSIFIER]
    metrics = json.loads(paths.TEST_METRICS.read_text())
    assert list(metrics) == ["rgb"]
    found = metrics["rgb"]
    assert found["cost"] == pytest.approx(found["reconstruction"] + found["kl"], rel=1e-4)
    assert found["excess"] == pytest.approx(found["cost"] - found["floor"], abs=0.02)
    assert found["iw_gain"] > 0
    assert found["linear_cost"] > found["floor"]
    assert {"psnr", "ssim", "pca_mse", "pca_psnr", "pca_ssim", "parameters", "active_units"} <= found.keys()
    with store.read(paths.RECONSTRUCTIONS, dimensions=4) as file:
        assert file["test"].shape == (100, 3, 16, 16)
        rebuilt = file["test"].images[:]
    originals = images.load_test(("rgb",)).pictures()
    error = ((rebuilt.astype(float) - originals) / 255) ** 2
    assert found["mse"] == pytest.approx(error.mean(), rel=0.01)


@pytest.mark.slow
def test_the_floor_of_a_joint_model_is_the_channels_together(
    channels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = ready(model(channels="joint", **TINY), monkeypatch)
    merge.run(read)
    joint = json.loads(paths.TEST_METRICS.read_text())["rgb"]
    for folder in (paths.MODELS, paths.HISTORY.parent):
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    read = ready(model(**TINY), monkeypatch)
    merge.run(read)
    separate = json.loads(paths.TEST_METRICS.read_text())
    assert joint["floor"] == pytest.approx(separate["rgb"]["floor"], rel=1e-5)
    for name in ("cost", "floor", "excess", "linear_cost", "parameters", "iw_cost"):
        total = sum(separate[colour][name] for colour in paths.COLOURS)
        assert separate["rgb"][name] == pytest.approx(total, rel=1e-4), name


@pytest.mark.slow
def test_densities_have_bits_and_no_floor(channels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = ready(model(channels="joint", likelihood="gaussian", **TINY), monkeypatch)
    merge.run(read)
    found = json.loads(paths.TEST_METRICS.read_text())["rgb"]
    assert found["bits_per_dim"] == pytest.approx(found["cost"] / (768 * np.log(2)) + 8, rel=1e-4)
    assert not {"floor", "excess"} & found.keys()


@pytest.mark.slow
def test_a_conditional_model_s_samples_are_judged(channels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = ready(model(channels="joint", conditional=True, **TINY), monkeypatch, classes=10)
    merge.run(read)
    found = json.loads(paths.TEST_METRICS.read_text())["rgb"]
    assert 0 <= found["sample_accuracy"] <= 1
    assert 0 < found["sample_deviation"] < 1  # of a model that was not trained
    assert "Samples of each digit" in paths.REPORT.read_text()
    before = paths.CLASSIFIER.read_bytes()
    classifier_stage.run(True, 0.0, 0)
    assert paths.CLASSIFIER.read_bytes() == before
    paths.CLASSIFIER.unlink()
    with pytest.raises(
        PipelineError, match=r"classifier.safetensors: no such model file; run `dvc repro classifier`"
    ):
        merge.run(read)


def test_a_model_that_was_told_other_labels(channels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = ready(model(channels="joint", conditional=True, **TINY), monkeypatch, classes=4)
    with pytest.raises(
        PipelineError,
        match=r"3x16x16 with 4 classes .0, 1, 2, 3., but .* with 10 classes .0, 1, 2, 3, 4, ",
    ):
        merge.run(read)


def test_labels_that_are_not_there(workspace: Path) -> None:
    for colour in paths.COLOURS:
        with store.create(paths.channel(colour)) as file:
            for name in ("train", "test"):
                file.create(name, (3, 8, 8), None)[:] = 7
    with pytest.raises(
        PipelineError, match=r"model.conditional is true, but the images have no labels; set it to"
    ):
        classifier_stage.run(True, 0.0, 0)
    assert not paths.CLASSIFIER_FOLDER.exists()


def test_a_test_label_that_training_had_not(workspace: Path) -> None:
    for colour in paths.COLOURS:
        with store.create(paths.channel(colour)) as file:
            for name, label in (("train", 1), ("test", 2)):
                file.create(name, (3, 8, 8), np.full(3, label, np.uint8))[:] = 7
    with pytest.raises(
        PipelineError, match=r"conditional is true, but 3 test images are of classes that no .* has \(2\)"
    ):
        classifier_stage.run(True, 0.0, 0)
    assert not paths.CLASSIFIER_FOLDER.exists()


@pytest.mark.parametrize("extra", [False, True])
def test_validation_is_the_end_of_train(workspace: Path, extra: bool) -> None:
    for shade, colour in enumerate(paths.COLOURS):
        with store.create(paths.channel(colour)) as file:
            for name, values in (("train", range(10)), ("test", range(2)), ("extra", range(100, 104))):
                if name != "extra" or extra:
                    pixels = np.array(values, np.uint8)[:, None, None] + np.full(
                        (1, 2, 2), 10 * shade, np.uint8
                    )
                    file.create(name, pixels.shape, np.array(values, np.uint8))[:] = pixels
    training, held_out = images.load_training(("rgb",), 0.25)
    expected = ([*range(100, 104)] if extra else []) + [*range(8)]
    assert training.labels is not None
    assert held_out.labels is not None
    assert training.labels.tolist() == expected
    assert held_out.labels.tolist() == [8, 9]
    assert (
        training.pixels["rgb"][0].tolist()
        == [expected[0]] * 4 + [expected[0] + 10] * 4 + [expected[0] + 20] * 4
    )
    alone, _ = images.load_training(("green",), 0.25)
    assert torch.equal(
        torch.from_numpy(alone.pixels["green"]), torch.from_numpy(training.pixels["rgb"][:, 4:8])
    )
