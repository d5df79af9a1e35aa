"""State of a search: what was tried, what came of it, and what is left to try."""

import hashlib
import json
from dataclasses import dataclass, replace

from pipeline.common import paths
from pipeline.runs import identity
from pipeline.search.journal import Journal, SearchTrial
from pipeline.search.space import inside
from pipeline.trials import planning, results, studies_yaml
from pipeline.trials.dataset import TrialData
from pipeline.trials.fitting import FitReport, repeated_reports
from pipeline.trials.planning import Trial
from pipeline.trials.results import TrialResult
from pipeline.trials.setting import SECTIONS, Setting, short
from pipeline.trials.studies_yaml import Defaults, Search, corners

REDUCTION = 3  # of the trials that reach a rung of epochs, one in so many goes on


@dataclass(frozen=True)
class Candidate:
    """A trial that was measured after all its epochs."""

    setting: Setting
    result: TrialResult

    @property
    def cost(self) -> float:
        """Validation, nats an image of all channels."""
        return self.result.snapshot.metrics[paths.MERGED]["validation"]["cost"]


class SearchState:
    """A search, and what is known of it."""

    def __init__(self, search: Search, defaults: Defaults, data: TrialData) -> None:
        self.search, self.defaults, self.base, self.data = search, defaults, defaults.params, data
        self.where = f"{paths.STUDIES_YAML}: searches.{search.name}"
        self.journal = Journal(self._key())
        sections = (path.split(".") for path in search.space)
        # The setting that leaves params.yaml as it is.
        self.default = {f"{section}.{key}": defaults.values[section][key] for section, key in sections}

    def check(self) -> None:
        """Raise where the images are not enough for some setting of the space."""
        for setting in corners(self.search.space):
            self.data.check(studies_yaml.parameters(self.defaults, setting, self.where), self.where)

    def _key(self) -> str:
        """Hash of all that decides what is suggested and what comes of it; not of the number of trials."""
        fixed = identity.result_params(self.base.model, self.base.train)
        sections = dict(zip(SECTIONS, fixed, strict=True))
        for path in self.search.space:
            section, key = path.split(".")
            sections[section].pop(key, None)
        space = {path: repr(dimension) for path, dimension in self.search.space.items()}
        shape = [sections, space, self.search.grace, self.base.train.epochs, REDUCTION]
        digest = hashlib.blake2b(self.data.digest, digest_size=8)
        digest.update(json.dumps(shape, sort_keys=True).encode())
        return digest.hexdigest()

    def trial(self, setting: Setting) -> Trial:
        [trial] = planning.trials(self.defaults, [setting], self.data.digest, self.where)
        return trial

    def tried(self) -> list[SearchTrial]:
        """The trials in the order of their starts. A result on disk counts, whoever left it there."""
        return [self._known(trial) for trial in list(self.journal.tried.values())[: self.search.trials]]

    def _known(self, tried: SearchTrial) -> SearchTrial:
        result = results.find(self.trial(tried.setting))
        if not result:
            return tried if tried.state != "finished" else replace(tried, state="started")
        costs = {report.epoch: report.costs for report in result.reports()}
        return replace(tried, state="finished", costs=costs, seconds=result.snapshot.seconds)

    def missing(self) -> int:
        """Trials that have not ended."""
        return self.search.trials - sum(trial.state != "started" for trial in self.tried())

    def points(self) -> list[Setting]:
        """Settings that Optuna is given before its own: those tried, in order; first, the defaults."""
        before = [trial.setting for trial in self.tried()]
        allowed = all(inside(value, self.search.space[path]) for path, value in self.default.items())
        return before or ([self.default] if allowed else [])

    def known_reports(self) -> dict[str, list[FitReport]]:
        """Reports by key of the fit: of trials that have ended, and of all results, also those of studies."""
        epochs = self.base.train.epochs
        told = {}
        for path in results.of_epochs(epochs):
            result = results.load(results.fit_key(path), epochs)
            if result:
                told[results.fit_key(path)] = result.reports()
        for trial in self.tried():
            if trial.state in ("stopped", "failed"):
                told[self.trial(trial.setting).fit_key] = repeated_reports(trial.costs, trial.seconds)
        return told

    def candidates(self) -> list[Candidate]:
        """Trials that reached the last epoch, the best first."""
        found = []
        for trial in self.tried():
            result = results.find(self.trial(trial.setting))
            if result:
                found.append(Candidate(trial.setting, result))
        return sorted(found, key=lambda candidate: candidate.cost)

    def best(self) -> Candidate | None:
        return next(iter(self.candidates()), None)

    def verdict(self, best: Candidate) -> str:
        states = [trial.state for trial in self.tried()]
        counts = ", ".join(
            f"{states.count(state)} {text}"
            for state, text in (("finished", "finished"), ("stopped", "stopped early"), ("failed", "failed"))
            if state in states
        )
        label = short(best.setting)
        said = f"{len(states)} trials, {counts}. Best: {label}: validation cost {best.cost:.1f} nats"
        default = next((c for c in self.candidates() if c.setting == self.default), None)
        if default is None:
            return f"{said}."
        if default is best:
            return f"{said}: the defaults."
        return f"{said}, {default.cost - best.cost:.1f} less than the defaults."
