"""What the report says of the figures, and the names it gives the data."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.data.store import Provenance
from pipeline.report import page, sentences
from pipeline.report import table as tables
from tests.helpers.checkout import ROOT
from tests.helpers.report import MODEL, written


@pytest.mark.slow
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
        assert all(source.startswith("data:") for source in re.findall(r'(?:src|href)="([^"]+)', html))


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


@pytest.mark.slow
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


@pytest.mark.slow
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
