"""Damaged copies of files: bits flipped, parts lost, moved and overwritten; words that are others."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

Mutation = Callable[[bytearray, random.Random], None]


def _place(data: bytearray, draw: random.Random) -> int:
    """Half of them near an end of the file, where headers are."""
    near = draw.choice((64, 512, 4096, len(data)))
    place = draw.randrange(max(1, min(near, len(data))))
    return place if draw.random() < 0.5 else max(0, len(data) - 1 - place)


def flip(data: bytearray, draw: random.Random) -> None:
    if data:
        data[_place(data, draw)] ^= 1 << draw.randrange(8)


def overwrite(data: bytearray, draw: random.Random) -> None:
    start = _place(data, draw)
    length = min(draw.choice((1, 2, 4, 8, 512)), len(data) - start)
    fill = draw.choice((b"\0", b"\xff", b"\x7f", b"random"))
    data[start : start + length] = draw.randbytes(length) if fill == b"random" else fill * length


def cut_short(data: bytearray, draw: random.Random) -> None:
    del data[_place(data, draw) :]


def lose(data: bytearray, draw: random.Random) -> None:
    start = _place(data, draw)
    del data[start : start + draw.choice((1, 4, 512, 4096))]


def repeat(data: bytearray, draw: random.Random) -> None:
    start = _place(data, draw)
    data[start:start] = data[start : start + draw.choice((1, 4, 512, 4096))]


def lengthen(data: bytearray, draw: random.Random) -> None:
    data += draw.randbytes(draw.choice((1, 8, 4096)))


BYTES: tuple[Mutation, ...] = (flip, flip, flip, overwrite, overwrite, cut_short, lose, repeat, lengthen)

# What a text or a number may be replaced by, in YAML and in JSON.
NASTY = (
    "null", "true", "-1", "0", "1e999", "nan", ".nan", "NaN", "1.5", '""', "[]", "{}", "[1, 2]", "{a: 1}",
    "2020-01-01", "2020-13-45", "{[1, 2]: 3}", "{2020-01-01: 3}", "9" * 40, "9" * 5000,
    "[" * 1200 + "]" * 1200,
    "&a [*a]", "&a {b: *a}", "*none", "!!python/object:os.system x", "'\\x1b[31m'", "ü", "\x1b[31m", "\0",
    "x" * 9000,
    "a;touch x", "-oProxyCommand=touch x", "[/bold]", "../../x", "{{x}}",
    "\t", "- -", ": :", "? [a]", "%TAG x",
)  # fmt: skip


def words(text: str, draw: random.Random) -> str:
    """A text, one of whose words is another, or is gone, or one of whose lines stands elsewhere."""
    lines = text.splitlines(keepends=True)
    kind = draw.randrange(4)
    if kind == 0:
        places = [i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
        at = draw.choice(places)
        head, colon, tail = lines[at].partition(":")
        nasty = draw.choice(NASTY)
        lines[at] = f"{nasty}:{tail}" if draw.random() < 0.3 else f"{head}{colon} {nasty}\n"
    elif kind == 1:
        del lines[draw.randrange(len(lines))]
    elif kind == 2:
        lines.insert(draw.randrange(len(lines)), lines[draw.randrange(len(lines))])
    else:
        at = draw.randrange(len(lines))
        lines[at] = draw.choice(("  ", " ", "\t", "- ")) + lines[at]
    return "".join(lines)


def of_bytes(path: Path, count: int, seed: int = 0) -> Iterator[str]:
    """Put one damaged copy after another in a file's place; yield what was done. At the end it is whole."""
    whole = path.read_bytes()
    draw = random.Random(f"{seed} {path.name}")
    try:
        for number in range(count):
            data = bytearray(whole)
            mutations = [draw.choice(BYTES) for _ in range(draw.choice((1, 1, 1, 3)))]
            for mutate in mutations:
                mutate(data, draw)
            if data != whole:
                path.write_bytes(data)
                yield f"{path.name} {number}: {', '.join(each.__name__ for each in mutations)}"
    finally:
        path.write_bytes(whole)


def of_text(path: Path, count: int, seed: int = 0) -> Iterator[str]:
    """The same of a text: words and lines, and sometimes bytes."""
    whole = path.read_bytes()
    draw = random.Random(f"{seed} {path.name}")
    try:
        for number in range(count):
            text = whole.decode()
            for _ in range(draw.choice((1, 1, 2))):
                text = words(text, draw)
            data = bytearray(text.encode())
            if draw.random() < 0.1:
                draw.choice(BYTES)(data, draw)
            path.write_bytes(data)
            yield f"{path.name} {number}"
    finally:
        path.write_bytes(whole)
