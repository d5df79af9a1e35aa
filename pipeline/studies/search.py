"""Search for better parameters: Optuna suggests, ASHA stops what falls behind, validation images judge."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from ray.tune.schedulers import ASHAScheduler

from pipeline import files, layout, params, ray_session
from pipeline.errors import Interrupted, PipelineError
from pipeline.progress import console, output
from pipeline.storage_lock import Check
from pipeline.studies import declared, fleet, page, pictures, planning, results, worker
from pipeline.studies.declared import Search
from pipeline.studies.explored import REDUCTION, Candidate, Explored
from pipeline.studies.fleet import Machines
from pipeline.studies.ground import Ground, forget, hold, shown
from pipeline.studies.journal import Tried, name
from pipeline.studies.results import Result
from pipeline.studies.setting import Setting, in_sections, short
from pipeline.studies.space import Fresh, decoded
from pipeline.studies.trial import Report
from pipeline.studies.view import TrialsView
from pipeline.studies.worker import Shared

METRIC = "validation"


def run(search: Search, machines: Machines) -> Setting:
    """Run a search; write studies/<name>/; return the best setting.

    Raises:
        PipelineError: data are absent, or no trial reached the last epoch.
    """
    with hold(machines) as check:
        base = params.read()
        data = Ground(base)
        if not len(data.held_out):
            raise PipelineError(f"{layout.PARAMS}: data.validation holds out no image of so few; raise it")
        explored = Explored(search, base, data)
        explored.check()
        if explored.missing():
            _explore(explored, machines, check)
        best = explored.best()
        if not best:
            raise PipelineError(f"search {search.name}: no trial of {search.trials} reached its last epoch")
        _write(explored, best)
        page.write(declared.read().names())
    out = output()
    out.print(f"\n[bold]{search.name}[/]  {explored.verdict(best)}", soft_wrap=True)
    out.print(f"{layout.study(search.name)}/: results.csv, plot.svg, {page.SUMMARY}", soft_wrap=True)
    if explored.missing():
        console.print(f"{explored.missing()} trials did not end; the same command tries them again")
    return best.setting


def apply(setting: Setting) -> None:
    """Write a setting into params.yaml; say what changed.

    Raises:
        PipelineError: it cannot be changed.
    """
    changed = params.change(layout.PARAMS, in_sections(setting))
    print(f"{layout.PARAMS}: {', '.join(changed) or 'nothing changed'}")


class _Asha(ASHAScheduler):  # type: ignore[misc]  # Ray is not typed
    """Takes note of trials that only repeat what they told before, and stops none of them."""

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(controller, trial, result)
        return str(self.CONTINUE) if result.get("again") else decision


def _explore(explored: Explored, machines: Machines, check: Check) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search, data, base = explored.search, explored.data, explored.base
    told = explored.told()
    for tried in explored.tried():
        if tried.state != "started":
            forget(explored.trial(tried.setting).fit, machines)  # where a kill came before this
    with ray_session.session(machines.address, [check]) as session:
        wanted = fleet.request(ray_session.offer(session), machines)
        ended = search.trials - explored.missing()
        already = f", {ended} ended already" if ended else ""
        console.print(
            f"{search.trials} trials{already}, {wanted}, on {data.about}; "
            f"each has {base.train.epochs} epochs, or is stopped after {search.grace} or more",
            soft_wrap=True,
        )
        choice = search.space.get("model.channels")
        channels = set(choice) if isinstance(choice, tuple) else {base.model.channels}
        with (
            data.shared(channels, machines, wanted.device) as shared,
            TrialsView("search", wanted.at_once, search.trials) as view,
        ):
            try:
                fleet.run(
                    _trainable,
                    {
                        "explored": Suggested(explored.raw, data.digest, explored.where, told),
                        "shared": shared,
                    },
                    {},
                    wanted,
                    Keeper(explored, set(told), machines, view),
                    session,
                    machines.max_failures,
                    num_samples=search.trials,
                    search_alg=Fresh(search, METRIC, explored.points(), base.train.seed),
                    scheduler=_Asha(
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
    told: Mapping[str, Sequence[Report]]  # by fit, of trials that have ended


def _trainable(config: Mapping[str, Any], explored: Suggested, shared: Shared) -> None:
    setting = decoded(config)
    trials = planning.plan(explored.base, [setting], explored.digest, explored.where)
    [job] = planning.fits(trials)
    worker.work(job, shared, explored.told.get(job.key))


class Keeper:
    """Writes down how trials fare, and shows it. A `fleet.Watcher`."""

    def __init__(self, explored: Explored, told: set[str], machines: Machines, view: TrialsView) -> None:
        """`told`: the fits that repeat what is known."""
        self.explored, self.told, self.machines, self.view = explored, told, machines, view
        self.running: dict[str, Tried] = {}
        self.crashed: set[str] = set()

    def _known(self, trial: str, config: Mapping[str, Any]) -> Tried:
        """A trial, by Tune's name of it."""
        if trial not in self.running:
            setting = decoded(config)
            self.running[trial] = Tried(setting)
            self.view.add(trial, short(setting), self.explored.base.train.epochs)
            if name(setting) not in self.explored.journal.tried:
                self.explored.journal.write(Tried(setting))
        return self.running[trial]

    def _fit(self, tried: Tried) -> str:
        return self.explored.trial(tried.setting).fit

    def started(self, trial: str, config: Mapping[str, Any]) -> None:
        if self._fit(self._known(trial, config)) not in self.told:
            self.view.start(trial)

    def reported(self, trial: str, report: Report, machine: str) -> None:
        if not report.costs:  # of a trial that told nothing before it failed
            return
        tried = self.running[trial]
        tried.costs[report.epoch], tried.seconds = report.costs, report.seconds
        self.view.report(trial, report.epoch, shown(report), report.seconds)
        if report.snapshot:
            results.save(self._fit(tried), Result(report.snapshot, machine))
            tried.state = "finished"

    def tried_again(self, trial: str, config: Mapping[str, Any], reason: str) -> None:
        self._known(trial, config)
        self.view.again(trial, reason)

    def diverged(self, trial: str, reason: str) -> None:
        self.running[trial].state, self.running[trial].reason = "failed", reason

    def failed(self, trial: str, config: Mapping[str, Any], reason: str) -> None:
        """Left as it was started: the same command tries it again."""
        self._known(trial, config).reason = reason
        self.crashed.add(trial)

    def ended(self, trial: str, config: Mapping[str, Any]) -> None:
        tried = self._known(trial, config)
        if trial in self.crashed:
            self.view.end(trial, "failed", f"failed: {tried.reason}")
            return
        if self._fit(tried) in self.told:
            whole = tried.epochs == self.explored.base.train.epochs
            self.view.end(trial, "finished" if whole else "stopped", "is known")
            return
        if tried.state == "started":
            tried.state = "stopped"
        self.explored.journal.write(tried)
        forget(self._fit(tried), self.machines)
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
        setting = [tried.setting[path] for path in explored.search.space]
        values = [json.dumps(v) if isinstance(v, list | bool) else v for v in setting]
        cost = files.significant(tried.costs[tried.epochs][METRIC]) if tried.costs else ""
        writer.writerow([*values, tried.state, tried.epochs, cost, round(tried.seconds, 1)])
    return text.getvalue()
