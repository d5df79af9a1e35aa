"""Change values in the text of a YAML file; all else in it stays: comments, order, quotes, ends of lines.

A YAML library that writes a file anew moves what it does not understand, and people and DVC write one file in
many layouts. So the text is edited where the parser saw the values. Whoever writes the result reads it back
first and compares it with what was meant (`same`): what this module misjudges is refused, not written.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml import events as parsed

# A text that may stand without quotes; YAML 1.1, which other programs read, takes some for truth values.
PLAIN = re.compile(r"[A-Za-z0-9_./~][\w./:~+@-]*", re.ASCII)
TRUTHS = {"y", "n", "yes", "no", "on", "off"}
BREAK = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
LAST_BREAKS = re.compile(rf"(?:{BREAK.pattern})+\Z")
COMMENT_IN_VALUE = re.compile(
    r"[&!|>][^\n]*\s#[^\n]*\n"
)  # behind an anchor, a tag, or a sign of a text in lines


class UneditableError(ValueError):
    """A value that cannot be changed where it stands; the message says why."""


class Edit(NamedTuple):
    """A text in place of a part of the file."""

    start: int  # in characters
    end: int
    text: str


@dataclass(frozen=True)
class Node:
    """A value, and where it stands."""

    kind: Literal["scalar", "alias", "list", "map"]
    start: int  # in characters, with its anchor and its tag
    end: int  # behind its last character; comments that follow are not part of it
    text: str = ""  # a scalar's
    quote: str | None = None  # a scalar's: ' or ", or | or > of a text in lines
    indented: bool = False  # a list or a map without brackets
    parts: tuple["Node", ...] = ()  # a list's items; a map's keys and values in turn


def edited(text: str, values: Any, changes: Mapping[str, Mapping[str, Any]]) -> str:
    """The text with other values at some `section.key`; `values` is what it holds now.

    New values are texts, numbers, booleans, null, or lists of them.

    Raises:
        UneditableError: a value does not stand where it would be changed, such as behind a merge (<<).
    """
    top = _tree(text)
    edits: list[Edit] = []
    for section, keys in changes.items():
        for key, value in keys.items():
            if not same(values[section][key], value):
                _, within = _entry(top, section, section)
                name, place = _entry(within, key, f"{section}.{key}")
                if COMMENT_IN_VALUE.match(text, place.start, place.end):
                    raise UneditableError(f"{section}.{key} has a comment inside")
                edits += _value(text, place, values[section][key], value, _behind_colon(text, name))
    edits.sort()
    edits += list(_alignment(text, edits))
    new = text
    for start, end, part in sorted(edits, reverse=True):
        new = new[:start] + part + new[end:]
    # Where the last line had no end and is gone, the one that became the last shall have none.
    return new if LAST_BREAKS.search(text) else LAST_BREAKS.sub("", new)


def same(a: Any, b: Any) -> bool:
    """Equal and of one type, also inside: 1 is neither 1.0 nor true. A tuple may stand for a list."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    nan = isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b)
    return nan or (type(a) is type(b) and a == b)


def written(value: Any, quote: str | None = None) -> str:
    """A value on one line of YAML 1.2; a text in the quotes that it had, where it had some."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not math.isfinite(value):
            return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        digits = repr(value)
        # With a point, for parsers of YAML 1.1.
        return digits if "." in digits else digits.replace("e", ".0e")
    if isinstance(value, str):
        return _text(value, quote)
    return str(value)


def _text(value: str, quote: str | None) -> str:
    if quote == "'" and value.isprintable():
        return "'" + value.replace("'", "''") + "'"
    plain = PLAIN.fullmatch(value) and not value.endswith(":") and value.lower() not in TRUTHS
    # What looks like a number, a date or null stands in quotes.
    if plain and quote != '"' and YAML(typ="safe", pure=True).load(value) == value:
        return value
    return '"' + "".join(_escaped(c) for c in value) + '"'


def _escaped(c: str) -> str:
    if c in '"\\':
        return f"\\{c}"
    return c if c.isprintable() else f"\\U{ord(c):08x}"


def _tree(text: str) -> Node:
    events = YAML(typ="safe", pure=True).parse(text)

    def node(event: parsed.Event) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, parsed.AliasEvent):
            return Node("alias", start, end)
        if isinstance(event, parsed.ScalarEvent):
            end = start + len(text[start:end].rstrip())
            return Node("scalar", start, end, event.value, event.style)
        mapping = isinstance(event, parsed.MappingStartEvent)
        parts: list[Node] = []
        while not isinstance(inner := next(events), parsed.CollectionEndEvent):
            part = node(inner)
            if mapping and len(parts) % 2 and part.start == part.end:
                # A value that is left out: the parser takes it to stand where the next line's begins.
                at = _behind_colon(text, parts[-1])
                part = Node("scalar", at, at)
            parts.append(part)
        indented = isinstance(event, parsed.CollectionStartEvent) and not event.flow_style
        # The parser takes a list without brackets to end where the next line begins.
        end = parts[-1].end if indented and parts else inner.end_mark.index
        return Node("map" if mapping else "list", start, end, indented=indented, parts=tuple(parts))

    return node(next(event for event in events if isinstance(event, parsed.NodeEvent)))


def _entry(within: Node, key: str, where: str) -> tuple[Node, Node]:
    """A key of a map, and its value."""
    if within.kind == "map":
        for name, place in zip(within.parts[::2], within.parts[1::2], strict=True):
            if name.kind == "scalar" and name.text == key:
                return name, place
    raise UneditableError(f"{where} stands elsewhere in the file, behind an anchor (&) or a merge (<<)")


def _value(text: str, place: Node, before: Any, value: Any, sign: int) -> Iterator[Edit]:
    """`sign`: behind the colon or the dash that a value follows."""
    if place.kind == "list" and isinstance(value, list | tuple) and value:
        yield from _items(text, place, before, value)
    elif place.indented:
        yield Edit(sign, sign, f" {written(value)}")
        if place.kind == "map":
            yield _lines(text, place.start, place.end)
        else:
            yield from (_lines(text, _dash(text, item), item.end) for item in place.parts)
    else:
        gap = " " if place.start == place.end else ""
        yield Edit(place.start, place.end, gap + written(value, place.quote))


def _items(text: str, place: Node, before: Sequence[Any], values: Sequence[Any]) -> Iterator[Edit]:
    """Each item where it stands; what is too many goes with its line, what is new follows the last one."""
    for item, old, new in zip(place.parts, before, values, strict=False):
        if not same(old, new):
            yield from _value(text, item, old, new, _dash(text, item) + 1 if place.indented else item.start)
    surplus, new_ones = place.parts[len(values) :], [written(value) for value in values[len(before) :]]
    if not place.indented:
        if surplus:
            yield _cut(text, place, len(values))
        elif new_ones:
            at = place.parts[-1].end if place.parts else text.index("[", place.start) + 1
            yield Edit(at, at, f"{', ' if place.parts else ''}{', '.join(new_ones)}")
        return
    yield from (_lines(text, _dash(text, item), item.end) for item in surplus)
    if new_ones:
        last = place.parts[-1]
        dash, end = _dash(text, last), _line_end(text, last.end)
        found = BREAK.search(text)
        indent = " " * (dash - _line_start(text, dash))
        yield Edit(end, end, "".join(f"{found[0] if found else ''}{indent}- {new}" for new in new_ones))


def _cut(text: str, place: Node, kept: int) -> Edit:
    """The last items of a list in brackets, with their comments; those of the others stay."""
    last, first_gone, gone = place.parts[kept - 1], place.parts[kept], place.parts[-1]
    start, end = last.end, gone.end
    if _line_end(text, start) < first_gone.start:
        start = _next_line(text, start)  # so a comma is left, which YAML allows
        if _line_end(text, end) < place.end:
            end = _next_line(text, end)
    return Edit(start, end, "")


def _lines(text: str, start: int, end: int) -> Edit:
    """Whole lines go, with the comments that stand on them."""
    return Edit(_line_start(text, start), _next_line(text, end), "")


def _alignment(text: str, edits: Sequence[Edit]) -> Iterator[Edit]:
    """A comment behind a value stays in its column, where there is room."""
    lines: dict[int, list[Edit]] = {}
    for edit in edits:
        if not BREAK.search(text[edit.start : edit.end] + edit.text):
            lines.setdefault(_line_end(text, edit.end), []).append(edit)
    for several in lines.values():
        gap = re.compile(r"[\]},]*( +)(?=#)").match(text, several[-1].end)
        longer = sum(len(edit.text) - (edit.end - edit.start) for edit in several)
        if gap and longer:
            width = max(min(2, len(gap[1])), len(gap[1]) - longer)
            yield Edit(gap.start(1), gap.end(1), " " * width)


def _behind_colon(text: str, key: Node) -> int:
    return text.find(":", key.end) + 1


def _dash(text: str, item: Node) -> int:
    return text.rindex("-", 0, item.start)


def _line_start(text: str, at: int) -> int:
    return max((found.end() for found in BREAK.finditer(text, 0, at)), default=0)


def _line_end(text: str, at: int) -> int:
    found = BREAK.search(text, at)
    return found.start() if found else len(text)


def _next_line(text: str, at: int) -> int:
    found = BREAK.search(text, at)
    return found.end() if found else len(text)
