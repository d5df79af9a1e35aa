"""docs/benchmarks.md, its chart and the README say what was measured."""

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.checkout import ROOT

FIGURES = json.loads((ROOT / "docs/benchmarks.json").read_text())


@pytest.fixture
def chart(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "docs")
    return importlib.import_module("chart")


def words(svg: Path) -> list[str]:
    """What is written on a chart: outlines, each with its text in a comment."""
    return re.findall(r"<!-- (.+?) -->", svg.read_text())


def test_the_chart_is_that_of_the_figures(tmp_path: Path, chart: ModuleType) -> None:
    chart.draw(FIGURES, tmp_path / "speed.svg")
    drawn = words(tmp_path / "speed.svg")
    assert {row["entrant"] for row in FIGURES["rows"]} < set(drawn)
    assert drawn == words(ROOT / "docs/speed.svg")


def test_the_tables_are_those_of_the_figures(chart: ModuleType) -> None:
    page = (ROOT / "docs/benchmarks.md").read_text()
    assert "\n".join(chart.tables(FIGURES)[:10]) in page
    for line in chart.tables(FIGURES):
        assert line in page


def test_the_readme_says_how_many_times_as_fast(chart: ModuleType) -> None:
    [section] = re.findall(
        r"^## Speed\n(.+?)^## ", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    own = chart.speed(FIGURES["rows"], "vaepipe", 100)
    for other in ("textbook", "pythae 0.1.2"):
        assert f"{own / chart.speed(FIGURES['rows'], other, 100):.1f} times" in " ".join(section.split())
