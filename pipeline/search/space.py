"""Settings as Optuna's points, and back."""

import json
from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from ray.tune.search.optuna import OptunaSearch

from pipeline.search.journal import name
from pipeline.trials.setting import Setting
from pipeline.trials.studies_yaml import Range, Search

TRIES = 100  # to be suggested something new


class UniqueOptunaSearch(OptunaSearch):  # type: ignore[misc]  # Ray is not typed
    """Optuna, asked again where it suggests what it has suggested already; at its end when all is tried."""

    def __init__(self, search: Search, metric: str, points: list[Setting], seed: int) -> None:
        super().__init__(
            space={path: distribution(dimension) for path, dimension in search.space.items()},
            metric=metric,
            mode="min",
            points_to_evaluate=[encoded(point, search) for point in points],
            seed=seed,
        )
        self.suggested: set[str] = set()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        for _ in range(TRIES):
            config: dict[str, Any] = super().suggest(trial_id)
            key = name(decoded(config))
            if key not in self.suggested:
                self.suggested.add(key)
                return config
            # Asked for the same trial again, it would say the same again.
            self._ot_trials.pop(trial_id)
        return str(self.FINISHED)


def distribution(dimension: Range | tuple[Any, ...]) -> BaseDistribution:
    """A dimension of a search as Optuna has it."""
    if isinstance(dimension, tuple):
        # As texts, since Optuna takes no lists.
        return CategoricalDistribution([json.dumps(value) for value in dimension])
    if dimension.whole:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log)


def encoded(setting: Setting, search: Search) -> dict[str, Any]:
    """A setting as a point of Optuna's."""
    return {
        path: json.dumps(value) if isinstance(search.space[path], tuple) else value
        for path, value in setting.items()
    }


def decoded(config: Mapping[str, Any]) -> dict[str, Any]:
    """A point of Optuna's as a setting; numbers from ranges have four significant digits."""
    setting: dict[str, Any] = {}
    for path, value in config.items():
        if isinstance(value, str):
            setting[path] = json.loads(value)
        else:
            setting[path] = float(f"{value:.4g}") if isinstance(value, float) else value
    return setting


def inside(value: Any, dimension: Range | tuple[Any, ...]) -> bool:
    """Whether a value lies in a dimension."""
    if isinstance(dimension, tuple):
        return value in dimension
    return dimension.low <= value <= dimension.high
