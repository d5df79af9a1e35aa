"""Limits of size: of files, of functions, and of code that stands twice."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.checkout import ROOT

MOST_LINES = 300  # of a file
MOST_LINES_OF_A_FUNCTION = 60
EQUAL_LINES = 6

CODE = sorted(path for folder in ("vae", "pipeline", "bench") for path in (ROOT / folder).rglob("*.py"))
ALL = [*CODE, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "docs").glob("*.py"))]

# Rows of tables: an import, an option or a field with its type, an item alone on its line.
ROW = re.compile(r"(from \S+ )?import .*|\w+: [^=]+( = .+)?,?|\"?[\w.]+\"?(: \"?[\w.]+\"?)?,|\W*")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Each function's name and number of lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or 0) - node.lineno + 1


def repeated(sources: dict[str, str]) -> list[str]:
    """Runs of equal lines that stand twice: where they begin."""
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for file, source in sources.items():
        lines = [(n, text.strip()) for n, text in enumerate(source.splitlines(), 1)]
        code = [(n, text) for n, text in lines if not text.startswith("#") and not ROW.fullmatch(text)]
        for start in range(len(code) - EQUAL_LINES + 1):
            run = code[start : start + EQUAL_LINES]
            places[tuple(text for _, text in run)].append(f"{file}:{run[0][0]}")
    return [" and ".join(where) for where in places.values() if len(where) > 1]


@pytest.mark.parametrize("path", ALL, ids=name)
def test_a_file_is_one_room(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") <= MOST_LINES
    long = {f"{path.stem}.{of}": lines for of, lines in functions(source) if lines > MOST_LINES_OF_A_FUNCTION}
    assert not long


def test_nothing_is_written_twice() -> None:
    assert repeated({name(path): path.read_text(encoding="utf-8") for path in CODE}) == []


def test_what_is_written_twice_is_found() -> None:
    once = "\n".join(f"total = total + weight_{n} * cost(batch, {n})" for n in range(EQUAL_LINES))
    assert repeated({"a.py": once, "b.py": f"import torch\n\n{once}"}) == ["a.py:1 and b.py:3"]
    assert repeated({"a.py": once.replace("batch", "images"), "b.py": once}) == []
    options = "\n".join(f"option_{n}: int = {n}," for n in range(EQUAL_LINES))
    assert repeated({"a.py": options, "b.py": options}) == []
