"""studies.yaml, read strictly: studies that compare settings, and searches of a space of settings."""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.experiment import params
from pipeline.experiment.params import Params
from pipeline.trials import checks
from pipeline.trials.setting import Setting, in_sections, short

Entry = TypeVar("Entry")

MANY = 1000  # trials that nobody asks for by mistake
MOST = 100_000  # settings of a study that can be read

UNSEARCHED = {
    "model.likelihood": "costs under different likelihoods cannot be compared",
    "train.epochs": "the scheduler decides how many each trial gets, up to params.yaml's",
    "train.seed": "it would find the luckiest one",
}


@dataclass(frozen=True)
class Study:
    """Settings to compare."""

    name: str
    question: str
    settings: tuple[Setting, ...]
    paper: tuple[
        float, ...
    ] = ()  # the cost that the paper printed for each setting, nats an image of a channel


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool  # drawn evenly in the logarithm
    whole: bool


@dataclass(frozen=True)
class Search:
    """A space of settings."""

    name: str
    trials: int
    grace: int  # epochs before a trial may be stopped
    space: Mapping[str, Range | tuple[Any, ...]]  # by path: a range, or a choice of values


@dataclass(frozen=True)
class StudiesFile:
    """Contents of studies.yaml."""

    studies: Mapping[str, Study]
    searches: Mapping[str, Search]
    noise: Study  # the study of seeds, whose spread the others are held against

    def names(self) -> list[str]:
        """Names of all studies and searches, in their order."""
        return [*self.studies, *self.searches]

    def study(self, name: str) -> Study:
        """A study by name.

        Raises:
            PipelineError: there is none of that name.
        """
        return _found(name, self.studies, "study")

    def search(self, name: str) -> Search:
        """A search by name; raises as `study` does."""
        return _found(name, self.searches, "search")


def read(path: Path = paths.STUDIES_YAML) -> StudiesFile:
    """Read studies.yaml, and check all but the parameters' values (see `parameters`).

    Raises:
        PipelineError: one line that says what is wrong, and where.
    """
    top = checks.section(params.load(path), f"{path}", {"studies", "noise"}, {"searches"})
    studies = {
        n: _study(n, s, f"{path}: studies.{n}") for n, s in checks.named(top["studies"], path, "studies")
    }
    searches = {
        n: _search(n, s, f"{path}: searches.{n}")
        for n, s in checks.named(top.get("searches") or {}, path, "searches")
    }
    for name in studies.keys() & searches.keys():
        raise PipelineError(f"{path}: {name} is a study and a search; give one of them another name")
    noise = top["noise"]
    if not isinstance(noise, str) or noise not in studies:
        raise PipelineError(
            f"{path}: noise is {params.shown(noise)}; name one of the studies: {', '.join(studies)}"
        )
    if any(set(setting) != {"train.seed"} for setting in studies[noise].settings):
        raise PipelineError(f"{path}: studies.{noise}: noise must be a study that varies train.seed alone")
    if len(studies[noise].settings) < 2:
        raise PipelineError(f"{path}: studies.{noise}: noise must be a study of two seeds or more")
    return StudiesFile(studies, searches, studies[noise])


@dataclass(frozen=True)
class Defaults:
    """params.yaml, read once for a command: settings are laid over it."""

    values: Mapping[str, Any]  # as they stand, by section and key
    params: Params


def read_defaults() -> Defaults:
    """Read params.yaml.

    Raises:
        PipelineError: one line that says what is wrong with it.
    """
    values = params.load()
    return Defaults(values, params.check(values, paths.PARAMS))


def check(
    studies: StudiesFile, names: Sequence[str], defaults: Defaults, *, yes: bool = False
) -> list[Study]:
    """The studies of these names; all is checked of them, and of the noise's, that needs no data.

    Raises:
        PipelineError: a setting is wrong, or there are more than MANY trials and not `yes`.
    """
    chosen = [studies.study(name) for name in dict.fromkeys(names)]
    for study in (*chosen, studies.noise):
        where = f"{paths.STUDIES_YAML}: studies.{study.name}"
        if len(study.settings) > MANY and not yes:
            raise PipelineError(
                f"{where}: {len(study.settings):,} trials; add --yes to run more than {MANY:,}"
            )
        for setting in study.settings:
            parameters(defaults, setting, where)
    return chosen


def check_search(search: Search, defaults: Defaults) -> None:
    """Raise unless all of a search is right that needs no data.

    Raises:
        PipelineError: a value of its space is wrong, or no validation images are held out.
    """
    from pipeline.data import images  # h5py takes long to load

    base = defaults.params
    if not base.data.validation and not images.has_validation_split():
        raise PipelineError(
            f"{paths.PARAMS}: data.validation is 0, but validation images judge a search; set it, as to 0.05"
        )
    where = f"{paths.STUDIES_YAML}: searches.{search.name}"
    if search.grace > base.train.epochs:
        raise PipelineError(
            f"{where}: grace is {search.grace}, more than params.yaml's {base.train.epochs} epochs"
        )
    for setting in corners(search.space):
        parameters(defaults, setting, where)


def corners(space: Mapping[str, Range | tuple[Any, ...]]) -> Iterator[Setting]:
    """The settings at a space's ends: each value by itself, and combinations where they are not too many."""
    ends = {path: (d.low, d.high) if isinstance(d, Range) else d for path, d in space.items()}
    ends = {p: tuple(map(int, v)) if _is_whole(space[p]) else v for p, v in ends.items()}
    for path, values in ends.items():
        for value in values:
            yield {path: value}
    if math.prod(map(len, ends.values())) <= MANY:
        for combination in itertools.product(*ends.values()):
            yield dict(zip(ends, combination, strict=True))


def _is_whole(dimension: Range | tuple[Any, ...]) -> bool:
    return isinstance(dimension, Range) and dimension.whole


def parameters(defaults: Defaults, setting: Setting, where: str) -> Params:
    """The defaults with a setting's values; `where` is what errors call it.

    Raises:
        PipelineError: a value has the wrong type or range.
    """
    changed = in_sections(setting)
    values = {name: {**section, **changed.get(name, {})} for name, section in defaults.values.items()}
    return params.check(values, Path(where))


def _study(name: str, value: Any, where: str) -> Study:
    entry = checks.section(value, where, set(), {"question", "vary", "settings", "paper"})
    if ("vary" in entry) == ("settings" in entry):
        raise PipelineError(f"{where}: give it either vary, lists of values, or settings, a list of settings")
    settings = tuple(_grid(entry["vary"], where) if "vary" in entry else _listed(entry["settings"], where))
    seen = set()
    for setting in settings:
        if (text := json.dumps(setting, sort_keys=True, default=str)) in seen:
            raise PipelineError(f"{where}: {short(setting)} is there twice")
        seen.add(text)
    paper = entry.get("paper", [])
    if not isinstance(paper, list) or not all(isinstance(v, int | float) for v in paper):
        raise PipelineError(f"{where}: paper must be a list of costs")
    if paper and len(paper) != len(settings):
        raise PipelineError(f"{where}: paper has {len(paper)} costs for {len(settings)} settings")
    question = entry.get("question", "")
    if not isinstance(question, str):
        raise PipelineError(f"{where}: question must be a text")
    return Study(name, question, settings, tuple(float(v) for v in paper))


def _grid(vary: Any, where: str) -> Iterator[Setting]:
    if not isinstance(vary, dict) or not vary:
        raise PipelineError(f"{where}: vary must name parameters, each with a list of values")
    for path, values in vary.items():
        checks.check_path(path, where)
        if not isinstance(values, list) or not values:
            found = "an empty list" if values == [] else params.shown(values)
            raise PipelineError(
                f"{where}: {path} is {found}; give it a list of values, such as {_example(path)}"
            )
    count = math.prod(map(len, vary.values()))
    if count > MOST:
        raise PipelineError(f"{where}: {count:,} settings; a study can have {MOST:,} at most")
    for values in itertools.product(*vary.values()):
        yield dict(zip(vary, values, strict=True))


def _listed(settings: Any, where: str) -> Iterator[Setting]:
    if not isinstance(settings, list) or not settings:
        raise PipelineError(f"{where}: settings must be a list of settings; it is {params.shown(settings)}")
    for setting in settings:
        if not isinstance(setting, dict) or not setting:
            raise PipelineError(
                f"{where}: a setting is parameters with a value each, such as {{model.latent: 20}}; "
                f"there is {params.shown(setting)}"
            )
        for path in setting:
            checks.check_path(path, where)
        yield setting


def _search(name: str, value: Any, where: str) -> Search:
    entry = checks.section(value, where, {"trials", "space"}, {"grace"})
    grace = entry.get("grace", 1)
    for key, number in (("trials", entry["trials"]), ("grace", grace)):
        if type(number) is not int or number < 1:
            raise PipelineError(
                f"{where}: {key} is {params.shown(number)}; it must be a whole number of at least 1"
            )
    space = entry["space"]
    if not isinstance(space, dict) or not space:
        raise PipelineError(f"{where}: space must name parameters, each with a list or a range of values")
    for path in space:
        checks.check_path(path, where)
        if path in UNSEARCHED:
            raise PipelineError(f"{where}: {path} cannot be searched: {UNSEARCHED[path]}")
    return Search(name, entry["trials"], grace, {p: _dimension(p, v, where) for p, v in space.items()})


def _dimension(path: str, value: Any, where: str) -> Range | tuple[Any, ...]:
    if isinstance(value, list) and value:
        return tuple(value)
    if not isinstance(value, dict):
        found = "an empty list" if value == [] else params.shown(value)
        raise PipelineError(
            f"{where}: {path} is {found}; give it a list of values, or a range {{from: 1, to: 9}}"
        )
    entry = checks.section(value, f"{where}: {path}", {"from", "to"}, {"log"})
    low, high, log = entry["from"], entry["to"], entry.get("log", False)
    if any(type(end) not in (int, float) for end in (low, high)) or type(log) is not bool:
        raise PipelineError(f"{where}: {path}: from and to must be numbers, and log true or false")
    if not low < high or (log and low <= 0):
        raise PipelineError(f"{where}: {path}: from must be less than to{', and above 0' if log else ''}")
    return Range(low, high, log, params.kind(path) is int)


def _example(path: str) -> str:
    return "[[500, 500], [700, 300]]" if path == "model.hidden" else "[10, 20]"


def _found(name: str, entries: Mapping[str, Entry], what: str) -> Entry:
    if name not in entries:
        raise PipelineError(
            f"{paths.STUDIES_YAML}: no {what} is called {name}; there are {', '.join(entries) or 'none'}"
        )
    return entries[name]
