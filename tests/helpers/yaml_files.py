"""YAML files in any layout, for property tests."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from pipeline.experiment import yaml_file

# Without shrinking, which takes minutes; what fails is printed as it is.
EXAMPLES = settings(
    max_examples=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def parsed(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def change(path: Path, text: str, changes: dict[str, dict[str, Any]]) -> str:
    """The text of the file after a change; without its translation of line ends."""
    path.write_bytes(text.encode())
    yaml_file.change(path, changes)
    return path.read_bytes().decode()


# Texts, and everything else that a parameter may be.
ODD = (
    "yes", "off", "null", "~", "1e3", "0x1F", "1_000", "2024-01-01", "1:30", "- a", "a: b", "a #b", "a:",
    "*a", "&a", "'", '"', "=", "<<", "%", "@", "#", "", " ", "\x85", "\ufeff", "C:\\x", "two words", "http://a/b?c=d",
)  # fmt: skip


texts = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(ODD)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts


values = scalars | st.lists(scalars, max_size=4)


# Values as they may stand in a file.
STANDING = (
    "1", "-5", "0.5", "1e-3", ".inf", "true", "null", "~", "word", "two words", "'it''s'", "'- a'", '"a # b"',
    "http://x/y", '"\\u00fc: 1"', "!!str 5", "&own 7",
)  # fmt: skip


@dataclass
class Written:
    """A file, what stands in it, and its comments in order."""

    text: str
    values: dict[str, dict[str, Any]]
    comments: list[str]


@st.composite
def files(draw: st.DrawFn) -> Written:  # noqa: C901  a case a layout
    """YAML in many layouts: lists in brackets, over lines, or by dashes; quotes, comments, blank lines."""
    values: dict[str, dict[str, Any]] = {}
    lines, comments, numbers = list[str](), list[str](), [0]
    indent = " " * draw(st.integers(1, 4))

    def comment(own_line: bool = False) -> str:
        if not draw(st.booleans()):
            return ""
        said = draw(st.sampled_from(["", " a: b", " - x", " [1, 2]", " ü &a *a"]))
        comments.append(f"# {len(comments)};{said}")
        return comments[-1] if own_line else f"{' ' * draw(st.integers(1, 8))}{comments[-1]}"

    def loose(prefix: str) -> None:
        if line := comment(own_line=True):
            lines.append(f"{prefix}{line}")
        elif draw(st.booleans()):
            lines.append("")

    def scalar() -> tuple[str, Any]:
        numbers[0] += 1
        text = draw(st.sampled_from(STANDING)).replace("&own", f"&own{numbers[0]}")
        return text, parsed(text)

    for section in ("data", "model", "train"):
        loose("")
        lines.append(f"{section}:{comment()}")
        values[section] = {}
        for key in draw(st.lists(st.sampled_from(["a", "b b", "c", "hidden"]), min_size=1, unique=True)):
            loose(draw(st.sampled_from(["", indent, indent * 2])))
            name = f"{indent}{draw(st.sampled_from([key, repr(key)]))}:"
            kind = draw(st.sampled_from(["scalar", "empty", "brackets", "lines", "dashes", "folded"]))
            items = [scalar() for _ in range(draw(st.integers(1, 4)))]
            values[section][key] = [value for _, value in items]
            if kind == "scalar":
                values[section][key] = items[0][1]
                lines.append(f"{name} {items[0][0]}{comment()}")
            elif kind == "empty":
                values[section][key] = None
                lines.append(f"{name}{comment()}")
            elif kind == "folded":
                values[section][key] = "some text"
                lines += [f"{name} >-", f"{indent * 3}some", f"{indent * 3}text"]
            elif kind == "brackets":
                lines.append(f"{name} [ {' , '.join(text for text, _ in items)}]{comment()}")
            elif kind == "lines":
                lines.append(f"{name} [{comment()}")
                lines += [f"{indent}   {text},{comment()}" for text, _ in items]
                lines.append(f"{indent} ]{comment()}")
            else:
                deep = indent + " " * draw(st.integers(0, 2))
                lines.append(f"{name}{comment()}")
                for text, _ in items:
                    loose(deep)
                    lines.append(f"{deep}-{' ' * draw(st.integers(1, 3))}{text}{comment()}")
    start = draw(st.sampled_from(["", "\ufeff", "---\n"]))
    end = draw(st.sampled_from(["", "\n", "\n\n"]))
    text = start + "\n".join(lines).rstrip("\n") + end
    return Written(text.replace("\n", draw(st.sampled_from(["\n", "\r\n"]))), values, comments)


def in_order(some: list[str], text: str) -> bool:
    at = 0
    for comment in some:
        if (at := text.find(comment, at)) < 0:
            return False
        at += len(comment)
    return True
