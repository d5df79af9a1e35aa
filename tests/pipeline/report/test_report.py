import base64
import io
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.store import Provenance
from pipeline.evaluation.registry import METRICS
from pipeline.experiment import params
from pipeline.experiment.presets import PRESETS
from pipeline.report import figures, page, sentences
from pipeline.report import table as tables
from tests.helpers.checkout import ROOT
from vae.metrics import EpochMetrics

MODEL = {
    "cost": 640.0,
    "reconstruction": 634.0,
    "kl": 6.0,
    "floor": 600.0,
    "excess": 40.0,
    "iw_cost": 638.5,
    "iw_gain": 1.25,
    "linear_cost": 630.0,
    "active_units": 4,
    "parameters": 1_556_064,
    "mse": 0.01,
    "pca_mse": 0.005,
}
PICTURES = {
    "mse": 0.0123,
    "psnr": 21.25,
    "ssim": 0.512,
    "pca_mse": 0.0041,
    "pca_psnr": 25.5,
    "pca_ssim": 0.75,
}
RGB = {"cost": 1920.0, "floor": 1800.0, "excess": 120.0, "linear_cost": 1890.0, "iw_gain": 3.75} | PICTURES
SAMPLES = {"classifier_accuracy": 0.931, "sample_accuracy": 0.82, "sample_deviation": 0.91}

DRAW = np.random.default_rng(0)


def noise(*shape: int) -> np.ndarray:
    return DRAW.integers(0, 256, (*shape, 32, 32), dtype=np.uint8)


@pytest.fixture
def content() -> page.Content:
    """Of the paper's three models."""
    colours = ("red", "green", "blue")
    variance = [1.0, 0.5, 0.2, 0.1] + [0.001] * 16
    return page.Content(
        params=params.read(ROOT / "params.yaml"),
        metrics={c: dict(MODEL) for c in colours} | {"rgb": dict(RGB)},
        history=[EpochMetrics(c, e, "train", 700 - e, 690 - e, 10) for c in colours for e in (1, 2)],
        provenance={"train": (73257, Provenance("train_32x32.mat", 12, "f" * 32)), "test": (5, None)},
        originals=noise(20, 3),
        reconstructions=noise(20, 3),
        pca=noise(20, 3),
        labels=[str(i % 10) for i in range(20)],
        samples=noise(64, 3),
        units={c: page.Units(variance, [0, 1, 2, 3], noise(4, 9)) for c in colours},
        conditional=None,
    )


@pytest.fixture
def joint(content: page.Content) -> page.Content:
    """Of one model that is told the digit."""
    model = replace(content.params.model, channels="joint", latent=20, conditional=True)
    return replace(
        content,
        params=replace(content.params, model=model),
        metrics={"rgb": MODEL | RGB | SAMPLES | {"active_units": 20}},
        samples=noise(0, 3),
        units={"rgb": page.Units([1.0] * 20, [0, 1], noise(2, 9, 3))},
        conditional=page.Conditional([str(d) for d in range(10)], noise(10, 12, 3), noise(6, 10, 3)),
    )


@pytest.fixture
def density(content: page.Content) -> page.Content:
    """Of three models with a density."""
    model = replace(content.params.model, likelihood="gaussian")
    values = {
        "cost": -1300.0,
        "bits_per_dim": 6.125,
        "linear_cost": -1200.0,
        "active_units": 20,
        "mse": 0.004,
    }
    rgb = {"cost": -3900.0, "bits_per_dim": 6.125, "linear_cost": -3600.0} | PICTURES | {"mse": 0.0038}
    return replace(
        content,
        params=replace(content.params, model=model),
        metrics={c: dict(values) for c in ("red", "green", "blue")} | {"rgb": rgb},
    )


def written(tmp_path: Path, content: page.Content) -> str:
    page.write(tmp_path / "index.html", content)
    return (tmp_path / "index.html").read_text()


def test_the_page_needs_no_other_file_and_no_host(tmp_path: Path, content: page.Content) -> None:
    page.write(tmp_path / "index.html", content)
    html = (tmp_path / "index.html").read_text()
    sources = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')>\s]+)', html)
    assert sources
    assert all(source.startswith("data:") for source in sources)
    assert "<script" not in html
    for figure in (
        "640.0",
        "6.00",
        "638.5",
        "1.25",
        "1,556,064",
        "0.0123",
        "21.25",
        "0.512",
        "73,257",
        "f" * 32,
    ):
        assert figure in html
    for beside in ("PCA, k=20", "630.0", "30.0", "0.0050", "25.50", "0.750"):
        assert beside in html


def test_every_parameter_is_shown(tmp_path: Path, content: page.Content) -> None:
    html = written(tmp_path, content)
    for section, values in asdict(content.params).items():
        assert f"<h3>{section}</h3>" in html
        for key in values:
            assert f"<dt>{key}</dt>" in html


def test_the_page_says_which_preset_is_for_what(tmp_path: Path, content: page.Content) -> None:
    html = written(tmp_path, content)
    for name, preset in PRESETS.items():
        assert f"<dt>{name}</dt>" in html
        assert preset.measured in html


def test_separate_joint_and_conditional_models_tell_different_stories(
    tmp_path: Path, content: page.Content, joint: page.Content, density: page.Content
) -> None:
    separate = written(tmp_path, content)
    assert "three models draw z" in separate
    assert "Samples of each" not in separate
    told = written(tmp_path, joint)
    assert "Samples of each digit" in told
    assert "three models draw z" not in told
    assert "82.0 %" in told
    assert "93.1 %" in told
    dense = written(tmp_path, density)
    assert "6.125" in dense
    assert "bits/dim" in dense
    assert "bits/dim" not in separate
    assert "there is no floor. An RGB image" in dense
    assert "the model is told 0." in told
    assert "floor" not in re.sub(r"there is no floor", "", dense)
    for html in (separate, told, dense):
        assert all(each.startswith("data:") for each in re.findall(r'(?:src|href)="([^"]+)', html))


def test_class_means_are_shown_as_a_failure(tmp_path: Path, joint: page.Content) -> None:
    """Read right every time, and no samples."""
    flattering = joint.metrics["rgb"] | {"sample_accuracy": 1.0, "sample_deviation": 0.02}
    html = written(tmp_path, replace(joint, metrics={"rgb": flattering}))
    assert '<p class="verdict"><b>Fails.</b>' in html
    assert "one mean picture for each digit" in html
    assert (
        "<b>fails</b><span>100.0 % of samples read as the digit asked for, 0.02 of" in html
    )  # at the top too
    assert '<p class="verdict passed"><b>Passes.</b>' in written(tmp_path, joint)


@pytest.mark.parametrize(
    ("accuracy", "deviation", "passed"),
    [(0.75, 0.8, True), (0.74, 0.9, False), (0.99, 0.79, False), (float("nan"), 0.9, False)],
)
def test_a_verdict_asks_for_both(accuracy: float, deviation: float, passed: bool) -> None:
    found = sentences.verdict({"sample_accuracy": accuracy, "sample_deviation": deviation}, "digit")
    assert found
    assert found.passed == passed
    assert sentences.verdict({"sample_accuracy": accuracy}, "digit") is None


def test_sentences_follow_from_the_figures(
    content: page.Content, joint: page.Content, density: page.Content
) -> None:
    def said(which: page.Content) -> list[str]:
        return [sentence.text for sentence in sentences.sentences(which.params, which.metrics, 3072)]

    units, pictures, cost = said(content)
    assert units.startswith(
        "The red, green and blue models use 4, 4 and 4 of their 20 latent units each: most"
    )
    assert "worse than PCA's with equally many numbers, k=20 a channel" in pictures
    assert "3 times as large" in pictures
    assert "120.0 above the floor" in cost
    assert "about 90.0 above, 30.0 nats less than this one" in cost
    units, pictures, cost = said(joint)
    assert "20 numbers and a label stand for the 3,072 values" in pictures
    assert units == "The model uses 20 of its 20 latent units: the latent space is used."
    units, pictures, cost = said(density)
    assert "better than PCA's" in pictures
    assert "6.125 bits per dimension" in cost
    assert "0.141 bits more than this one" in cost  # 300 nats over 3,072 pixels
    dead = {c: values | {"active_units": 0} for c, values in content.metrics.items()}
    assert "has collapsed" in sentences.units(content.params, dead)


def test_the_table_sets_each_model_beside_a_linear_one() -> None:
    found = tables.table({"red": MODEL}, 20, {"red": 1024})
    titles = [column.title for column in found.columns]
    model, linear = found.rows
    assert (model.name, linear.name, linear.linear) == ("red", "PCA, k=20", True)
    assert linear.cells[titles.index("excess")] == "30.0"
    assert linear.cells[titles.index("MSE")] == "0.0050"
    assert linear.cells[titles.index("KL")] == ""
    assert len(model.cells) == len(titles)


def test_equal_content_gives_equal_bytes(tmp_path: Path, content: page.Content) -> None:
    for name in ("a", "b"):
        page.write(tmp_path / name, content)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_comes_from_files_is_escaped(tmp_path: Path, content: page.Content) -> None:
    source = "<script>alert(1)</script>"
    hostile = replace(content.params, data=replace(content.params.data, source=source))
    page.write(tmp_path / "index.html", replace(content, params=hostile))
    html = (tmp_path / "index.html").read_text()
    assert source not in html
    assert "&lt;script&gt;" in html


def test_names_of_classes_are_escaped(tmp_path: Path, joint: page.Content) -> None:
    assert joint.conditional
    names = [f"<i>{d}</i>" for d in range(10)]
    html = written(tmp_path, replace(joint, conditional=replace(joint.conditional, classes=names)))
    assert "<i>" not in html
    assert "&lt;i&gt;9" in html
    assert "Samples of each class" in html


REPORTED = [metric for metric in METRICS.values() if metric.reported]


def test_every_measure_that_is_there_is_shown(tmp_path: Path, joint: page.Content) -> None:
    values = {column.name: 101.5 + place for place, column in enumerate(REPORTED)}
    values |= {"pca_mse": 201.5, "pca_psnr": 202.5, "pca_ssim": 203.5, "linear_cost": 204.5}
    judged = {"classifier_accuracy": 0.901, "sample_accuracy": 0.902, "sample_deviation": 0.903}
    html = written(tmp_path, replace(joint, metrics={"rgb": values | judged}))
    for metric in REPORTED:
        assert f"<td>{metric.text(values[metric.name])}</td>" in html
    for shown in ("201.5000", "202.50", "203.500", "204.5", "90.1 %", "90.2 %", "0.903"):
        assert shown in html


def test_measures_that_are_not_there_are_not_missed(tmp_path: Path, joint: page.Content) -> None:
    whole = joint.metrics["rgb"]
    for key in whole:
        left = {"rgb": {name: value for name, value in whole.items() if name != key}}
        sentences.facts(joint.params, left, "digit")
        sentences.sentences(joint.params, left, 3072)
        table = tables.table(left, 20, {"rgb": 3072})
        cells = {c.name: cell for c, cell in zip(table.columns, table.rows[0].cells, strict=True)}
        assert not cells.get(key)  # the column may be there for PCA's sake
    html = written(tmp_path, replace(joint, metrics={"rgb": {}}))
    assert '<p class="verdict' not in html


def test_wide_pictures_are_shown_as_thumbnails_among_samples() -> None:
    images = np.zeros((2, 3, 100, 200), np.uint8)
    images[..., 1::3] = 90  # a third of each square of 3 pixels
    small = figures.thumbnails(images)
    assert small.shape == (2, 3, 33, 66)
    assert (small == 30).all()
    assert figures.thumbnails(small) is small


def test_svhns_files_are_told_from_others(tmp_path: Path, content: page.Content) -> None:
    page.write(tmp_path / "index.html", content)
    html = (tmp_path / "index.html").read_text()
    assert "House numbers, reconstructed" in html
    assert "official file" in html
    own = {"train": (20, Provenance("<i>.npz", 12, "f" * 32)), "test": (5, Provenance("<i>.npz", 12, ""))}
    page.write(tmp_path / "index.html", replace(content, provenance=own, labels=[]))
    html = (tmp_path / "index.html").read_text()
    assert "<h1>Images, reconstructed</h1>" in html
    assert "official file" not in html
    assert "labels are" not in html
    assert "<i>" not in html


def test_crops_of_full_numbers_say_what_they_are(tmp_path: Path, content: page.Content) -> None:
    """And what was measured of such crops, which docs/full.md has too."""
    note = "554 digits of 256 photos; margin 0.1, neighbours hidden"
    full = {"train": (554, Provenance("train.tar.gz", 12, "f" * 32, note))}
    page.write(tmp_path / "index.html", replace(content, provenance=full))
    html = (tmp_path / "index.html").read_text()
    assert "House numbers, reconstructed" in html
    assert note in html
    [measured] = re.findall(r"What that does was measured.*?</p>", html, re.DOTALL)
    table = (ROOT / "docs/full.md").read_text()
    figures_there = re.findall(r"\d+\.\d+", measured)
    assert len(figures_there) == 6
    assert all(f"| {figure} " in table for figure in figures_there)


@pytest.mark.parametrize(("width", "columns", "scale"), [(8, 8, 8), (32, 8, 2), (48, 8, 2), (256, 2, 1)])
def test_rows_hold_what_a_page_has_room_for(width: int, columns: int, scale: int) -> None:
    images = np.zeros((5, 3, 8, width), np.uint8)
    [band, *_] = page._bands(images, images, images)
    picture = Image.open(io.BytesIO(base64.b64decode(band.split(",")[1])))
    assert picture.width == scale * (columns * (width + figures.GAP) - figures.GAP)


def test_tiles_are_where_they_belong() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    uri = figures.grid(figures.channels(images), scale=2)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))[::2, ::2]
    step = 8 + figures.GAP
    assert picture.shape == (4 * step - figures.GAP, 3 * step - figures.GAP, 4)
    assert np.array_equal(picture[:8, step : step + 8, :3], images[1].transpose(1, 2, 0))
    green = picture[2 * step : 2 * step + 8, :8]
    assert np.array_equal(green[..., 0], images[0, 1])
    assert np.array_equal(green[..., 2], images[0, 1])
    assert not picture[8 : 8 + figures.GAP].any()  # gaps are transparent


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    from pipeline.stages.train import _csv

    history = [
        EpochMetrics("red", 1, "train", 3.5, 3.25, 0.25),
        EpochMetrics("red", 1, "validation", 4.5, 4.25, 0.25),
    ]
    (tmp_path / "training.csv").write_text(_csv(history))
    assert page.read_history(tmp_path / "training.csv") == history
