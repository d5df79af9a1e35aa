"""docs/reliability.md: every row names a test that is there."""

import re

from tests.helpers.checkout import ROOT


def test_every_line_of_the_reliability_page_names_a_test_that_is_there() -> None:
    rows = [line for line in (ROOT / "docs/reliability.md").read_text().splitlines() if "::test_" in line]
    named = {tuple(name.split("::")) for row in rows for name in re.findall(r"test_\w+\.py::test_\w+", row)}
    files = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    for file, test in named:
        assert f"\ndef {test}(" in files[file], (file, test)
    assert sum(row.startswith("| ") for row in rows) >= 50
