import time
from pathlib import Path

import pytest

from pipeline.common import yaml_text
from pipeline.common.errors import PipelineError

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2020-01-01: 3", "a section: the key 2020-01-01 is no text"),
        ("model: {[1, 2]: 3}", "model: the key (1, 2) is no text"),
        ("model: &a [*a]", "model: too many values, one within another"),
        ("model: &a {b: *a}", "model: too many values, one within another"),
        (LAUGHS, "too many values, more than there are in any file of ours"),
        ("".join(f"k{n}: {n}\n" for n in range(100_000)), "1,377,780 bytes; expected at most 200,000"),
        ("x: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
        ("model: {x: " + "9" * 200 + "}", "model.x: a number of more than 100 digits"),
        ("x: " + "[" * 3000 + "]" * 3000, "not valid YAML: maximum recursion depth exceeded"),
        ("x: " + "[" * 30 + "]" * 30, "x: too many values, one within another"),
        ("x: 2020-13-45", "not valid YAML: month must be in 1..12"),
        ("x: [", "p.yaml: line 1: not valid YAML: "),
    ],
)
def test_yaml_that_is_no_plain_tree_is_one_line_in_time(text: str, said: str) -> None:
    started = time.monotonic()
    with pytest.raises(PipelineError) as error:
        yaml_text.parse(text.encode(), Path("p.yaml"))
    assert str(error.value).startswith("p.yaml:")
    assert said in str(error.value)
    assert str(error.value).isprintable()
    assert time.monotonic() - started < 5
