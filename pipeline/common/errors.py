"""The exceptions that people are meant to read."""

from collections.abc import Iterable
from itertools import islice


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
    return printable(" ".join(str(error).split())) or type(error).__name__


def printable(name: object) -> str:
    """A name from a disk, safe to print and to store: one line, no control characters, valid UTF-8."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(name))


def listed(names: Iterable[object], most: int = 5) -> str:
    """The first few names, safe to print, and dots where there are more: `cat, dog, ...`."""
    shown = [printable(name) for name in islice(names, most + 1)]
    return ", ".join(shown[:most]) + (", ..." if len(shown) > most else "")
