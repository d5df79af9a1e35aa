"""Search for better parameters: Optuna suggests, ASHA stops what falls behind, validation images judge."""

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from rich.console import Console

from pipeline import files, layout, params, ray_session, runs
from pipeline.errors import Interrupted, PipelineError
from pipeline.params import Params
from pipeline.progress import console
from pipeline.studies import declared, fleet, page, pictures, planning, results, worker
from pipeline.studies.declared import Range, Search, Setting
from pipeline.studies.fleet import Machines
from pipeline.studies.journal import Journal, Tried, name
from pipeline.studies.planning import Trial
from pipeline.studies.results import Result
from pipeline.studies.study import Pictures, forget, hold, shown
from pipeline.studies.trial import Report
from pipeline.studies.view import TrialsView
from pipeline.studies.worker import Shared

REDUCTION = 3  # of the trials that reach a rung of epochs, one in so many goes on
METRIC = "validation"


def run(search: Search, machines: Machines, *, apply: bool) -> None:
    """Run a search; write studies/<name>/, and with `apply` the winner to params.yaml.

    Raises:
        PipelineError: data are absent, or no trial reached the last epoch.
    """
    with hold():
        base = params.read()
        data = Pictures(base)
        if not len(data.held_out):
            raise PipelineError(f"{layout.PARAMS}: data.validation holds out no image of so few; raise it")
        explored = Explored(search, base, data)
        if explored.missing():
            _explore(explored, machines)
        best = explored.best()
        if not best:
            raise PipelineError(f"search {search.name}: no trial of {search.trials} reached its last epoch")
        _write(explored, best)
        page.write(declared.read().names())
    out = Console(highlight=False)
    out.print(f"\n[bold]{search.name}[/]  {explored.verdict(best)}", soft_wrap=True)
    out.print(f"{layout.study(search.name)}/: results.csv, summary.json, plot.svg", soft_wrap=True)
    if apply:
        _apply(base, best.setting)


def _apply(base: Params, setting: Setting) -> None:
    changes: dict[str, dict[str, Any]] = {}
    for path, value in setting.items():
        section, key = path.split(".")
        changes.setdefault(section, {})[key] = value
    before = {f"{s}.{k}": v for s in declared.SECTIONS for k, v in asdict(getattr(base, s)).items()}
    params.change(layout.PARAMS, changes)
    changed = [
        f"{path} {declared.text(before[path])} -> {declared.text(value)}"
        for path, value in setting.items()
        if declared.text(before[path]) != declared.text(value)
    ]
    print(f"params.yaml: {', '.join(changed) or 'nothing changed'}")


@dataclass(frozen=True)
class Candidate:
    """A trial that was measured after all its epochs."""

    setting: Setting
    result: Result

    @property
    def cost(self) -> float:
        """Validation, nats an image of all channels."""
        return self.result.snapshot.found[layout.JOINT]["validation"]["cost"]


class Explored:
    """A search, and what is known of it."""

    def __init__(self, search: Search, base: Params, data: Pictures) -> None:
        self.search, self.base, self.data = search, base, data
        self.raw: Mapping[str, Any] = params.load()
        self.where = f"{layout.STUDIES_YAML}: searches.{search.name}"
        self.journal = Journal(self._key())
        self.defaults = {path: self.raw[path.split(".")[0]][path.split(".")[1]] for path in search.space}

    def _key(self) -> str:
        """Of all that shapes what is suggested, and what comes of it; not of how many trials there are."""
        fixed = runs.shaping(self.base.model, self.base.train)
        sections = dict(zip(declared.SECTIONS, fixed, strict=True))
        for path in self.search.space:
            section, key = path.split(".")
            sections[section].pop(key, None)
        space = {path: repr(dimension) for path, dimension in self.search.space.items()}
        shape = [sections, space, self.search.grace, self.base.train.epochs, REDUCTION]
        digest = hashlib.blake2b(self.data.digest, digest_size=8)
        digest.update(json.dumps(shape, sort_keys=True).encode())
        planning.add_sources(digest)
        return digest.hexdigest()

    def trial(self, setting: Setting) -> Trial:
        [trial] = planning.plan(self.raw, [setting], self.data.digest, self.where)
        return trial

    def tried(self) -> list[Tried]:
        return list(self.journal.tried.values())[: self.search.trials]

    def missing(self) -> int:
        """Trials that have not ended."""
        return self.search.trials - sum(self.ended(each) for each in self.tried())

    def ended(self, tried: Tried) -> bool:
        if tried.state == "finished":
            return results.of(self.trial(tried.setting)) is not None
        return tried.state != "started"

    def points(self) -> list[Setting]:
        """What Optuna is given before its own suggestions: what was tried, in order; first, the defaults."""
        before = [each.setting for each in self.tried()]
        inside = all(_inside(value, self.search.space[path]) for path, value in self.defaults.items())
        return before or ([self.defaults] if inside else [])

    def told(self) -> dict[str, Sequence[Report]]:
        """The reports of trials that have ended, which are repeated to Optuna and to ASHA."""
        return {
            name(each.setting): [
                Report(epoch, costs, each.seconds) for epoch, costs in sorted(each.costs.items())
            ]
            for each in self.tried()
            if self.ended(each)
        }

    def candidates(self) -> list[Candidate]:
        """Those that reached the last epoch, the best first."""
        found = []
        for each in self.tried():
            result = results.of(self.trial(each.setting)) if each.state == "finished" else None
            if result:
                found.append(Candidate(each.setting, result))
        return sorted(found, key=lambda candidate: candidate.cost)

    def best(self) -> Candidate | None:
        return next(iter(self.candidates()), None)

    def verdict(self, best: Candidate) -> str:
        states = [each.state for each in self.tried()]
        counts = ", ".join(
            f"{states.count(state)} {text}"
            for state, text in (("finished", "finished"), ("stopped", "stopped early"), ("failed", "failed"))
            if state in states
        )
        label = declared.label(best.setting)
        said = f"{len(states)} trials, {counts}. Best: {label}: validation cost {best.cost:.1f} nats"
        default = next((c for c in self.candidates() if c.setting == self.defaults), None)
        if default is None:
            return f"{said}."
        if default is best:
            return f"{said}: the defaults."
        return f"{said}, {default.cost - best.cost:.1f} less than the defaults."


def _explore(explored: Explored, machines: Machines) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search, data, base = explored.search, explored.data, explored.base
    told = explored.told()
    with ray_session.session(machines.address) as session:
        offer = ray_session.offer(session)
        wanted = fleet.request(offer, machines)
        channels = search.space.get("model.channels", (base.model.channels,))
        shared = data.shared(set(channels if isinstance(channels, tuple) else ()), machines, wanted.device)
        already = f", {len(told)} ended already" if told else ""
        console.print(
            f"{search.trials} trials{already}, {wanted}, on {data.about}; "
            f"each has {base.train.epochs} epochs, or is stopped after {search.grace} or more",
            soft_wrap=True,
        )
        with TrialsView("search", wanted.at_once) as view:
            keeper = Keeper(explored, machines, view)
            try:
                fleet.run(
                    _trainable,
                    {
                        "explored": Suggested(explored.raw, data.digest, explored.where, told),
                        "shared": shared,
                    },
                    {},
                    wanted,
                    keeper,
                    session,
                    machines.max_failures,
                    num_samples=search.trials,
                    search_alg=OptunaSearch(
                        space={path: _distribution(d) for path, d in search.space.items()},
                        metric=METRIC,
                        mode="min",
                        points_to_evaluate=[encoded(p, search) for p in explored.points()],
                        seed=base.train.seed,
                    ),
                    scheduler=ASHAScheduler(
                        time_attr="epoch",
                        metric=METRIC,
                        mode="min",
                        max_t=base.train.epochs,
                        grace_period=search.grace,
                        reduction_factor=REDUCTION,
                    ),
                )
            except KeyboardInterrupt:
                raise Interrupted(
                    f"interrupted: {search.trials - explored.missing()} of {search.trials} trials have ended "
                    "and are kept, those that ran go on from their checkpoints: run the same command again"
                ) from None


@dataclass(frozen=True)
class Suggested:
    """What a worker needs to make a fit of a suggestion."""

    base: Mapping[str, Any]
    digest: bytes
    where: str
    told: Mapping[str, Sequence[Report]]  # by setting, of trials that have ended


def _trainable(config: Mapping[str, Any], explored: Suggested, shared: Shared) -> None:
    setting = decoded(config)
    trials = planning.plan(explored.base, [setting], explored.digest, explored.where)
    [job] = planning.fits(trials)
    worker.work(job, shared, explored.told.get(name(setting)))


def _distribution(dimension: Range | tuple[Any, ...]) -> BaseDistribution:
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


def _inside(value: Any, dimension: Range | tuple[Any, ...]) -> bool:
    if isinstance(dimension, tuple):
        return value in dimension
    return dimension.low <= value <= dimension.high


class Keeper:
    """Writes down how trials fare, and shows it. A `fleet.Watcher`."""

    def __init__(self, explored: Explored, machines: Machines, view: TrialsView) -> None:
        self.explored, self.machines, self.view = explored, machines, view
        self.running: dict[str, Tried] = {}

    def started(self, trial: str, config: Mapping[str, Any]) -> None:
        setting = decoded(config)
        if trial not in self.running:
            self.view.add(trial, declared.label(setting), self.explored.base.train.epochs)
        self.running.setdefault(trial, Tried(setting))
        if name(setting) not in self.explored.journal.tried:
            self.explored.journal.write(Tried(setting))
        if not self._has_ended(setting):
            self.view.start(trial)

    def _has_ended(self, setting: Setting) -> bool:
        return self.explored.ended(self.explored.journal.tried[name(setting)])

    def reported(self, trial: str, report: Report, machine: str) -> None:
        tried = self.running[trial]
        tried.costs[report.epoch], tried.seconds = report.costs, report.seconds
        self.view.report(trial, report.epoch, shown(report), report.seconds)
        if report.snapshot:
            results.save(self.explored.trial(tried.setting).fit, Result(report.snapshot, machine))
            tried.state = "finished"

    def failed(self, trial: str, reason: str, again: bool) -> None:
        if again:
            self.view.again(trial, reason)
        else:
            self.running[trial].state, self.running[trial].reason = "failed", reason

    def ended(self, trial: str) -> None:
        tried = self.running[trial]
        if self._has_ended(tried.setting):  # repeated from the journal
            before = self.explored.journal.tried[name(tried.setting)]
            self.view.end(trial, "finished" if before.state == "finished" else "stopped", "ended before")
            return
        if tried.state == "started":
            tried.state = "stopped"
        self.explored.journal.write(tried)
        forget(self.explored.trial(tried.setting).fit, self.machines)
        match tried.state:
            case "failed":
                self.view.end(trial, "failed", f"failed: {tried.reason}")
            case "stopped":
                self.view.end(trial, "stopped", f"stopped after {tried.epochs} epochs: {self._cost(tried)}")
            case _:
                self.view.end(trial, "finished", f"finished in {tried.seconds:,.0f} s: {self._cost(tried)}")

    def _cost(self, tried: Tried) -> str:
        return f"validation cost {tried.costs[tried.epochs][METRIC]:.1f}"


def _write(explored: Explored, best: Candidate) -> None:
    folder = layout.study(explored.search.name)
    files.write_text(folder / "results.csv", _csv(explored))
    files.write_bytes(folder / "plot.svg", pictures.search(explored.tried(), METRIC))
    settings = {
        declared.label(candidate.setting): {
            "validation": files.significant(candidate.cost),
            **candidate.result.snapshot.found[layout.JOINT]["test"],
        }
        for candidate in explored.candidates()
    }
    files.write_json(
        folder / page.SUMMARY,
        {
            "question": "Search: " + ", ".join(explored.search.space),
            "about": f"{explored.data.about}; chosen by the validation cost",
            "verdict": explored.verdict(best),
            "best": dict(best.setting),
            "settings": settings,
        },
    )


def _csv(explored: Explored) -> str:
    """A row for each trial, in the order in which they were started; costs are of validation images."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*explored.search.space, "state", "epochs", "validation_cost", "seconds"])
    for tried in explored.tried():
        values = [json.dumps(v) if isinstance(v, list | bool) else v for v in tried.setting.values()]
        cost = files.significant(tried.costs[tried.epochs][METRIC]) if tried.costs else ""
        writer.writerow([*values, tried.state, tried.epochs, cost, round(tried.seconds, 1)])
    return text.getvalue()
