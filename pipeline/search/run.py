"""Search for better parameters: Optuna suggests, ASHA stops what falls behind, validation images judge."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from ray.tune.schedulers import ASHAScheduler

from pipeline.common import files, paths
from pipeline.common.errors import Interrupted, PipelineError
from pipeline.common.progress import console, output
from pipeline.distributed import ray_session
from pipeline.experiment import params
from pipeline.report import studies_page
from pipeline.runs.storage_lock import Check
from pipeline.search import plot
from pipeline.search.journal import SearchTrial, name
from pipeline.search.space import UniqueOptunaSearch, decoded
from pipeline.search.state import REDUCTION, Candidate, SearchState
from pipeline.trials import planning, results, tuner, worker
from pipeline.trials.dataset import TrialData, costs_text, forget, locked
from pipeline.trials.fitting import FitReport
from pipeline.trials.results import TrialResult
from pipeline.trials.setting import Setting, in_sections, short
from pipeline.trials.studies_yaml import Defaults, Search
from pipeline.trials.tuner import TrialCompute
from pipeline.trials.view import TrialsView
from pipeline.trials.worker import Shared

METRIC = "validation"


def run(search: Search, defaults: Defaults, compute: TrialCompute, names: Sequence[str]) -> Setting:
    """Run a search; write studies/<name>/, and the page, in the order of `names`; return the best setting.

    Raises:
        PipelineError: data are absent, or no trial reached the last epoch.
    """
    with locked(compute) as check:
        data = TrialData(defaults)
        if not len(data.held_out):
            raise PipelineError(f"{paths.PARAMS}: data.validation holds out no image of so few; raise it")
        state = SearchState(search, defaults, data)
        state.check()
        if state.missing():
            _explore(state, compute, check)
        best = state.best()
        if not best:
            raise PipelineError(f"search {search.name}: no trial of {search.trials} reached its last epoch")
        _write(state, best)
        studies_page.write(names)
    out = output()
    out.print(f"\n[bold]{search.name}[/]  {state.verdict(best)}", soft_wrap=True)
    out.print(f"{paths.study(search.name)}/: results.csv, plot.svg, {studies_page.SUMMARY}", soft_wrap=True)
    if state.missing():
        console.print(f"{state.missing()} trials did not end; the same command tries them again")
    return best.setting


def apply(setting: Setting) -> None:
    """Write a setting into params.yaml; say what changed.

    Raises:
        PipelineError: it cannot be changed.
    """
    changed = params.change(paths.PARAMS, in_sections(setting))
    output().print(f"{paths.PARAMS}: {', '.join(changed) or 'nothing changed'}", markup=False, soft_wrap=True)


class _Asha(ASHAScheduler):  # type: ignore[misc]  # Ray is not typed
    """ASHA that takes note of trials that only repeat known reports, and stops none of them."""

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(controller, trial, result)
        return str(self.CONTINUE) if result.get("again") else decision


def _explore(state: SearchState, compute: TrialCompute, check: Check) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    search, data, base = state.search, state.data, state.base
    known = state.known_reports()
    for tried in state.tried():
        if tried.state != "started":
            forget(state.trial(tried.setting).fit_key, compute)  # where a kill came before this
    with ray_session.connected(compute.address, [check]) as session:
        wanted = tuner.request_trials(ray_session.cluster_resources(session), compute)
        ended = search.trials - state.missing()
        already = f", {ended} ended already" if ended else ""
        console.print(
            f"{search.trials} trials{already}, {wanted}, on {data.about}; "
            f"each has {base.train.epochs} epochs, or is stopped after {search.grace} or more",
            soft_wrap=True,
        )
        choice = search.space.get("model.channels")
        channels = set(choice) if isinstance(choice, tuple) else {base.model.channels}
        with (
            data.shared(channels, compute, wanted.device) as shared,
            TrialsView("search", wanted.at_once, search.trials) as view,
        ):
            try:
                tuner.run(
                    _trainable,
                    {
                        "suggested": Suggested(state.defaults, data.digest, state.where, known),
                        "shared": shared,
                    },
                    {},
                    wanted,
                    SearchRecorder(state, set(known), compute, view),
                    session,
                    compute.max_failures,
                    num_samples=search.trials,
                    search_alg=UniqueOptunaSearch(search, METRIC, state.points(), base.train.seed),
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
                    f"interrupted: {search.trials - state.missing()} of {search.trials} trials have ended "
                    "and are kept, those that ran go on from their checkpoints: run the same command again"
                ) from None


@dataclass(frozen=True)
class Suggested:
    """Settings that a worker needs to make a fit of a suggestion."""

    defaults: Defaults
    digest: bytes
    where: str
    known_reports: Mapping[str, Sequence[FitReport]]  # by key of the fit, of trials that have ended


def _trainable(config: Mapping[str, Any], suggested: Suggested, shared: Shared) -> None:
    setting = decoded(config)
    trials = planning.trials(suggested.defaults, [setting], suggested.digest, suggested.where)
    [fit] = planning.fits(trials)
    worker.run_fit(fit, shared, suggested.known_reports.get(fit.key))


class SearchRecorder:
    """Writes down how trials fare, and shows it. A `TrialCallback`."""

    def __init__(self, state: SearchState, known: set[str], compute: TrialCompute, view: TrialsView) -> None:
        """`known`: keys of the fits that repeat reports of trials that have ended."""
        self.state, self.known, self.compute, self.view = state, known, compute, view
        self.running: dict[str, SearchTrial] = {}
        self.crashed: set[str] = set()

    def _known(self, trial: str, config: Mapping[str, Any]) -> SearchTrial:
        """A trial, by Tune's name of it."""
        if trial not in self.running:
            setting = decoded(config)
            self.running[trial] = SearchTrial(setting)
            self.view.add(trial, short(setting), self.state.base.train.epochs)
            if name(setting) not in self.state.journal.tried:
                self.state.journal.write(SearchTrial(setting))
        return self.running[trial]

    def _fit_key(self, tried: SearchTrial) -> str:
        return self.state.trial(tried.setting).fit_key

    def started(self, trial: str, config: Mapping[str, Any]) -> None:
        if self._fit_key(self._known(trial, config)) not in self.known:
            self.view.start(trial)

    def reported(self, trial: str, report: FitReport, machine: str) -> None:
        if not report.costs:  # of a trial that reported nothing before it failed
            return
        tried = self.running[trial]
        tried.costs[report.epoch], tried.seconds = report.costs, report.seconds
        self.view.report(trial, report.epoch, costs_text(report), report.seconds)
        if report.snapshot:
            results.save(self._fit_key(tried), TrialResult(report.snapshot, machine))
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
        if self._fit_key(tried) in self.known:
            whole = tried.epochs == self.state.base.train.epochs
            self.view.end(trial, "finished" if whole else "stopped", "is known")
            return
        if tried.state == "started":
            tried.state = "stopped"
        self.state.journal.write(tried)
        forget(self._fit_key(tried), self.compute)
        match tried.state:
            case "failed":
                self.view.end(trial, "failed", f"failed: {tried.reason}")
            case "stopped":
                self.view.end(trial, "stopped", f"stopped after {tried.epochs} epochs: {self._cost(tried)}")
            case _:
                self.view.end(trial, "finished", f"finished in {tried.seconds:,.0f} s: {self._cost(tried)}")

    def _cost(self, tried: SearchTrial) -> str:
        return f"validation cost {tried.costs[tried.epochs][METRIC]:.1f}"


def _write(state: SearchState, best: Candidate) -> None:
    folder = paths.study(state.search.name)
    files.write_text(folder / "results.csv", _csv(state))
    files.write_bytes(folder / "plot.svg", plot.plot(state.tried(), METRIC))
    settings = {
        short(candidate.setting): {
            "validation": files.round_significant(candidate.cost),
            **candidate.result.snapshot.metrics[paths.MERGED]["test"],
        }
        for candidate in state.candidates()
    }
    files.write_json(
        folder / studies_page.SUMMARY,
        {
            "question": "Search: " + ", ".join(state.search.space),
            "about": f"{state.data.about}; chosen by the validation cost",
            "verdict": state.verdict(best),
            "best": dict(best.setting),
            "settings": settings,
        },
    )


def _csv(state: SearchState) -> str:
    """A row for each trial, in the order in which they were started; costs are of validation images."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    # In metrics/summary.json it is val_cost. Whoever reads these files knows both names, so both stay.
    writer.writerow([*state.search.space, "state", "epochs", "validation_cost", "seconds"])
    for tried in state.tried():
        setting = [tried.setting[path] for path in state.search.space]
        values = [json.dumps(v) if isinstance(v, list | bool) else v for v in setting]
        cost = files.round_significant(tried.costs[tried.epochs][METRIC]) if tried.costs else ""
        writer.writerow([*values, tried.state, tried.epochs, cost, round(tried.seconds, 1)])
    return text.getvalue()
