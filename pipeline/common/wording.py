"""Numbers, lists and times as they stand in sentences."""

from collections.abc import Sequence


def count(number: int, noun: str) -> str:
    """A number of things: `1 epoch`, `2,000 epochs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(values: Sequence[object]) -> str:
    """All of them, at least one: `red, green and blue`."""
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last


def duration(seconds: float) -> str:
    """A duration as people say it, by two or three figures."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes / 60:.1f} h" if minutes < 36 * 60 else f"{minutes / 60 / 24:.1f} days"
