"""The report's page: whole, escaped, and with all that was measured."""

import re
from dataclasses import asdict, replace
from pathlib import Path

from pipeline.evaluation.registry import METRICS
from pipeline.experiment.presets import PRESETS
from pipeline.report import page, sentences
from pipeline.report import table as tables
from tests.helpers.report import written
from vae.metrics import EpochMetrics


def test_the_page_needs_no_other_file_and_no_host(html: str) -> None:
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


def test_every_parameter_is_shown(html: str, content: page.Content) -> None:
    for section, values in asdict(content.params).items():
        assert f"<h3>{section}</h3>" in html
        for key in values:
            assert f"<dt>{key}</dt>" in html


def test_the_page_says_which_preset_is_for_what(html: str) -> None:
    for name, preset in PRESETS.items():
        assert f"<dt>{name}</dt>" in html
        assert preset.measured in html


def test_equal_content_gives_equal_bytes(tmp_path: Path, html: str, content: page.Content) -> None:
    assert written(tmp_path, content) == html


def test_a_password_in_the_source_s_url_is_not_shown(tmp_path: Path, content: page.Content) -> None:
    source = "https://me:pa55word@example.org/svhn?token=pa55word"
    params = replace(content.params, data=replace(content.params.data, source=source))
    html = written(tmp_path, replace(content, params=params))
    assert "pa55word" not in html
    assert html.count("https://***@example.org/svhn?token=***") == 3


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


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    from pipeline.stages.train import _csv

    history = [
        EpochMetrics("red", 1, "train", 3.5, 3.25, 0.25),
        EpochMetrics("red", 1, "validation", 4.5, 4.25, 0.25),
    ]
    (tmp_path / "training.csv").write_text(_csv(history))
    assert page.read_history(tmp_path / "training.csv") == history
