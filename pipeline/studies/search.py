"""Search for better parameters: Optuna suggests, ASHA stops what falls behind, validation images judge."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from ray.tune.schedulers import ASHAScheduler
from rich.console import Console

from pipeline import files, layout, params, ray_session
from pipeline.errors import Interrupted, PipelineError
from pipeline.params import Params
from pipeline.progress import console
from pipeline.studies import declared, fleet, page, pictures, planning, results, worker
from pipeline.studies.declared import Search
from pipeline.studies.explored import REDUCTION, Candidate, Explored
from pipeline.studies.fleet import Machines
from pipeline.studies.ground import Ground, forget, hold, shown
from pipeline.studies.journal import Tried, name
from pipeline.studies.results import Result
from pipeline.studies.setting import SECTIONS, Setting, short, short_value
from pipeline.studies.space import Fresh, decoded
from pipeline.studies.trial import Report
from pipeline.studies.view import TrialsView
from pipeline.studies.worker import Shared

METRIC = "validation"


def run(search: Search, machines: Machines, *, apply: bool) -> None:
    """Run a search; write studies/<name>/, and with `apply` the winner to params.yaml.

    Raises:
        PipelineError: data are absent, or no trial reached the last epoch.
    """
    with hold():
        base = params.read()
        data = Ground(base)
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
    before = {f"{s}.{k}": v for s in SECTIONS for k, v in asdict(getattr(base, s)).items()}
    params.change(layout.PARAMS, changes)
    changed = [
        f"{path} {short_value(before[path])} -> {short_value(value)}"
        for path, value in setting.items()
        if short_value(before[path]) != short_value(value)
    ]
    print(f"params.yaml: {', '.join(changed) or 'nothing changed'}")


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
                    search_alg=Fresh(search, METRIC, explored.points(), base.train.seed),
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


class Keeper:
    """Writes down how trials fare, and shows it. A `fleet.Watcher`."""

    def __init__(self, explored: Explored, machines: Machines, view: TrialsView) -> None:
        self.explored, self.machines, self.view = explored, machines, view
        self.running: dict[str, Tried] = {}

    def started(self, trial: str, config: Mapping[str, Any]) -> None:
        setting = decoded(config)
        if trial not in self.running:
            self.view.add(trial, short(setting), self.explored.base.train.epochs)
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
        short(candidate.setting): {
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
