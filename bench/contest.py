"""Entrants in turns, round after round: medians, the better way of each, and whether they train the same."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.entrant import Job
from bench.field import Ways
from bench.race import Measured

# Nats an image by which costs may differ: all start from the same weights, and another order of images made
# one at most, another model or cost makes tens. Of fewer images costs fall fast, and the order matters.
TOLERANCE, ENOUGH = 5.0, 20_000
HOPELESS = 0.9  # of the better way's speed: with less, another way is not tried again

Race = Callable[[Sequence[Job]], Measured]


@dataclass(frozen=True)
class Row:
    """An entrant's medians over the rounds, in one setting, at one batch size."""

    setting: str
    entrant: str
    way: str  # in which it was fastest
    batch_size: int
    images: int  # of a channel, that an epoch goes through
    images_per_second: float  # channel-images
    memory: int  # bytes, of all its processes together
    cost: float  # of the first channel after the timed epochs, nats an image
    start: float  # seconds of compiling before the first epoch, the longest of the rounds'


class AnotherCost(SystemExit):
    """An entrant's cost is not the engine's, so that its speed says nothing."""


def contest(
    setting: str,
    field: Mapping[str, Ways],
    rounds: int,
    expected: Mapping[int, Mapping[int, float]],
    race: Race,
) -> list[Row]:
    """One setting at one batch size. expected: costs of each channel, by the number of images trained on."""
    found: dict[str, dict[str, list[Measured]]] = {name: {} for name in field}
    for _ in range(rounds):
        for name, ways in field.items():
            for way in hopeful(ways, found[name]):
                measured = race(ways[way])
                count = ways[way][0].count
                check(name, measured.costs, expected[count], TOLERANCE * max(1, ENOUGH / count))
                found[name].setdefault(way, []).append(measured)
    return [row(setting, name, ways, found[name]) for name, ways in field.items()]


def references(jobs: Sequence[Job], counts: Iterable[int], race: Race) -> dict[int, Mapping[int, float]]:
    """Costs of each channel by the engine, by the number of images trained on. jobs: those of the engine."""
    return {count: race([replace(job, count=count) for job in jobs]).costs for count in counts}


def hopeful(ways: Ways, found: Mapping[str, Sequence[Measured]]) -> list[str]:
    """The ways worth trying in the next round: all at first, then those near the better one."""
    least = HOPELESS * max((speed(measured) for measured in found.values()), default=0.0)
    return [way for way in ways if way not in found or speed(found[way]) >= least]


def better(found: Mapping[str, Sequence[Measured]]) -> str:
    """The way with the highest median."""
    return max(found, key=lambda way: speed(found[way]))


def speed(measured: Sequence[Measured]) -> float:
    """Median, channel-images a second."""
    return statistics.median(one.speed for one in measured)


def check(name: str, costs: Mapping[int, float], expected: Mapping[int, float], tolerance: float) -> None:
    """Hold each component's cost to the engine's on the same number of images. All in nats an image.

    Raises:
        AnotherCost: one is off, or is not a number.
    """
    for component, cost in costs.items():
        if not abs(cost - expected[component]) <= tolerance:
            raise AnotherCost(
                f"{name}: channel {component} costs {cost:.2f} nats an image after the timed epochs, the "
                f"engine's {expected[component]:.2f}: it trains something else"
            )


def row(setting: str, name: str, ways: Ways, found: Mapping[str, Sequence[Measured]]) -> Row:
    """What is kept of an entrant."""
    way = better(found)
    first, measured = ways[way][0], found[way]
    return Row(
        setting,
        name,
        way,
        first.batch_size,
        first.count,
        speed(measured),
        int(statistics.median(one.memory for one in measured)),
        measured[0].costs[first.components[0]],
        max(one.start for one in measured),
    )
