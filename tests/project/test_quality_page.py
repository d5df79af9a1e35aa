"""docs/quality.md and the presets say the same."""

import re

from pipeline.experiment import presets
from tests.helpers.checkout import ROOT

PAGE = (ROOT / "docs/quality.md").read_text()


def test_the_page_names_every_preset_and_no_other() -> None:
    [rows] = re.findall(r"\| preset \| what it is .*?\n\n", PAGE, re.DOTALL)
    assert re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE) == list(presets.PRESETS)


def test_the_figures_that_a_preset_carries_are_on_the_page() -> None:
    for name, preset in presets.PRESETS.items():
        assert f"| {name} |" in PAGE
        for number in re.findall(r"\d+\.\d+", preset.measured):
            assert number in PAGE, (name, number)
