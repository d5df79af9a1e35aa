"""The exceptions that people are meant to read."""

import os
import re
from collections.abc import Iterable
from itertools import islice

MOST = 500  # characters of another's message: some hold the whole of what was wrong

# Of a URL: a user and a password, which may be written with slashes, or a token alone; and what a query says.
# Of bounded length, since the whole of somebody's file may be searched.
_BEFORE_HOST = re.compile(r"(?<=://)(?:[^\s/@:?#]{0,200}:(?!\d{1,5}/)[^\s@]{0,300}|[^\s/@:?#]{1,300})(?=@)")
_MEMORY = re.compile("out of memory|allocate memory|failed to map segment|STATUS_ALLOC_FAILED")
_IN_QUERY = re.compile(
    r"([?&][\w.-]{0,50}(?:key|token|secret|sig|signature|password|credential)=)[^&\s'\";,]{0,2000}[^&\s'\";,:)]",
    re.I,
)


class PipelineError(Exception):
    """Something the user can mend. The message is one line: what, where, expected, found, what to do.

    The command line prints it without a traceback and exits with `status`.
    """

    status = 1


class Interrupted(PipelineError):
    """Ctrl-C or SIGTERM, answered; the message says what is kept and how to go on."""

    status = 130  # the shells' number for it


def one_line(error: BaseException) -> str:
    """An exception's message in one line, safe to print; its kind, where it has no message."""
    text = printable(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= MOST else f"{text[:MOST]}..."


def lines(said: object, otherwise: str = "") -> list[str]:
    """The lines of a message of pages, without empty ones; where there are none, `otherwise`, or its kind."""
    found = [line.strip() for line in str(said).splitlines() if line.strip()]
    return found or [otherwise or type(said).__name__]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory did not suffice, by whoever says so: Python, torch, or the system's loader."""
    kinds = RuntimeError | ImportError  # of torch, and of libraries that find no room to be loaded
    return isinstance(error, MemoryError) or (isinstance(error, kinds) and bool(_MEMORY.search(str(error))))


def reason(error: OSError) -> str:
    """The system's own words."""
    # HDF5 puts the system's number into a page of its own words.
    number = error.errno or int((re.findall(r"errno = (\d+)", str(error)) or ["0"])[0])
    return os.strerror(number) if number else one_line(error)


def printable(name: object) -> str:
    """A text from elsewhere, safe to print and to store: one line, valid UTF-8, no control characters.

    Passwords and the like in a URL are left out: `https://***@host/file?token=***`.
    """
    text = str(name)
    if "://" in text:
        text = _IN_QUERY.sub(r"\1***", _BEFORE_HOST.sub("***", text))
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def listed(names: Iterable[object], most: int = 5) -> str:
    """The first few names, safe to print, and dots where there are more: `cat, dog, ...`."""
    shown = [printable(name) for name in islice(names, most + 1)]
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")
