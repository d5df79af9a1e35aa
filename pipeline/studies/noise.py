"""Noise of seeds: what chance alone does, and whether a difference is larger.

From n seeds of the defaults, with mean m and standard deviation s: another seed would fall into
m ± t s √(1 + 1/n) in 95 of 100 cases, and two single runs differ by less than t s √2 (Student's t with n - 1
degrees of freedom; normal errors assumed). The more runs, the wider they spread: k of them by less than q s
(q of the studentized range).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from scipy.stats import studentized_range
from scipy.stats import t as student

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Noise:
    """The seeds' spread of one measure."""

    seeds: int
    mean: float
    deviation: float

    @property
    def half_width(self) -> float:
        """Half the band's width: as far as another seed may be from the mean."""
        return self._times * self.deviation * math.sqrt(1 + 1 / self.seeds)

    @property
    def difference(self) -> float:
        """The least difference between two single runs that is larger than chance."""
        return self._times * self.deviation * math.sqrt(2)

    def spread(self, runs: int) -> float:
        """The least range of so many single runs that is larger than chance, in 95 of 100 cases as above."""
        return _range(runs, self.seeds - 1) * self.deviation

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width

    def holds(self, value: float) -> bool:
        """Whether a seed of the defaults might have given this value."""
        return self.low <= value <= self.high

    @property
    def _times(self) -> float:
        return float(student.ppf((1 + CONFIDENCE) / 2, self.seeds - 1))


@cache
def _range(runs: int, degrees: int) -> float:
    """The quantile of the studentized range, which takes a twentieth of a second to compute."""
    return float(studentized_range.ppf(CONFIDENCE, runs, degrees))


def noise(values: Sequence[float]) -> Noise:
    """Noise of a metric, from its values for two or more seeds."""
    return Noise(len(values), statistics.fmean(values), statistics.stdev(values))
