"""docs/benchmarks.md, its chart and the README say what was measured."""

import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from bench.field import ALL_CHANNELS
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
    assert {row["entrant"] for table in FIGURES.values() for row in table["rows"]} < set(drawn)
    assert drawn == words(ROOT / "docs/speed.svg")


def test_the_tables_are_those_of_the_figures(chart: ModuleType) -> None:
    page = (ROOT / "docs/benchmarks.md").read_text()
    for table in FIGURES.values():
        for lines in chart.tables(table):
            assert "\n".join(lines) in page


def test_each_processor_s_figures_are_drawn_and_printed(tmp_path: Path, chart: ModuleType) -> None:
    """Two processors; on one of them two settings, and one entrant's costs are not known."""
    row = {"entrant": "vaepipe", "way": "w", "batch_size": 100, "images": 6, "images_per_second": 2e3}
    row |= {"memory": 2**20, "cost": 638.5, "start": 0.0}
    other = row | {"entrant": "textbook", "images_per_second": 1e3, "cost": None, "start": 12.34}
    both = [entry | {"setting": setting} for setting in ("one core", "all cores") for entry in (row, other)]
    figures = {
        "Zen 4": {"machine": "Zen 4, torch 2", "rounds": 3, "rows": both},
        "Zen 5": {"machine": "Zen 5, torch 2", "rounds": 5, "rows": both[:2]},
    }
    chart.draw(figures, tmp_path / "speed.svg")
    drawn = words(tmp_path / "speed.svg")
    assert [drawn.count(text) for text in ("2.0 k, 2.00 x", "vaepipe")] == [3, 3]
    assert {"Zen 4, one core", "Zen 4, all cores", "Zen 5, one core"} <= set(drawn)
    [lines] = chart.tables(figures["Zen 4"])
    assert lines[0] == "**Zen 4, torch 2; medians of 3 rounds**"
    assert len(lines) == 4 + len(both)
    assert lines[4] == "| one core | vaepipe | w | 100 | 6 | 2,000 | 1.00 | 638.50 |  | 1 |"
    assert lines[5] == "| one core | textbook | w | 100 | 6 | 1,000 | 2.00 |  | 12.3 | 1 |"


def test_the_readme_says_how_many_times_as_fast(chart: ModuleType) -> None:
    [section] = re.findall(
        r"^## Speed\n(.+?)^## ", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    rows = [row for row in FIGURES["AMD EPYC (Zen 5)"]["rows"] if row["setting"] == ALL_CHANNELS]
    own = chart.speed(rows, "vaepipe", 100)
    for other in ("textbook", "pythae 0.1.2"):
        assert f"{own / chart.speed(rows, other, 100):.1f} times" in " ".join(section.split())
