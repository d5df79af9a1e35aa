"""YAML that people write, as trees of plain values, with errors of one line."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.common.errors import PipelineError, one_line, printable

MOST_BYTES = 200_000  # of a file; ours are of a few thousand
MOST_VALUES, MOST_DEPTH, MOST_NUMBER = 20_000, 20, 10**100
SHOWN = 60  # characters of a key that an error shows


def parse(content: bytes, path: Path) -> Any:
    """What a file says; `path` is what errors call it.

    Raises:
        PipelineError: it is no YAML, or more than texts, numbers, lists and mappings of modest size.
    """
    if len(content) > MOST_BYTES:
        raise PipelineError(f"{path}: {len(content):,} bytes; expected at most {MOST_BYTES:,}")
    try:
        value = YAML(typ="safe", pure=True).load(content)
    except (YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}:" if where else ""
        problem = getattr(error, "problem", None) or "not text in UTF-8"
        raise PipelineError(f"{path}:{line} not valid YAML: {problem}") from None
    # What looks like a date and is none, numbers of thousands of digits, a thousand brackets, ...
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise PipelineError(f"{path}: not valid YAML: {one_line(error)}") from None
    _check_plain(value, path)
    return value


def _check_plain(value: Any, path: Path) -> None:
    """Raise unless it is a tree of mappings with texts for keys, lists and single values, of modest size.

    YAML can say more: a mapping within itself, a date or a list as a key, one list a billion times.
    """
    waiting, seen = [(value, "", 0)], 0
    while waiting:
        each, where, depth = waiting.pop()
        seen += 1
        if seen > MOST_VALUES or depth > MOST_DEPTH:
            what = "more than there are in any file of ours" if seen > MOST_VALUES else "one within another"
            raise PipelineError(f"{path}: {where.split('.')[0]}: too many values, {what}")
        if isinstance(each, int) and abs(each) > MOST_NUMBER:
            raise PipelineError(f"{path}: {where}: a number of more than 100 digits")
        if isinstance(each, dict):
            for key, inner in each.items():
                if not isinstance(key, str | int | float | bool):
                    found = printable(key)[:SHOWN]
                    raise PipelineError(f"{path}: {where or 'a section'}: the key {found} is no text")
                waiting.append((inner, f"{where}.{key}" if where else str(key), depth + 1))
        elif isinstance(each, list | set | tuple):
            waiting += [(inner, where, depth + 1) for inner in each]
