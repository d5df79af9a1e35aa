"""Run studies: what is missing is trained, then the figures are put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

from pipeline.common import files, paths
from pipeline.common.errors import Interrupted, PipelineError
from pipeline.common.progress import console, output
from pipeline.distributed import ray_session
from pipeline.experiment.params import Params
from pipeline.report import figures, studies_page
from pipeline.runs.storage_lock import Check
from pipeline.studies import pictures, tables
from pipeline.studies.tables import Outcome
from pipeline.trials import dataset, planning, results, tuner, worker
from pipeline.trials.dataset import TrialData
from pipeline.trials.fitting import FitReport
from pipeline.trials.planning import Fit, Trial
from pipeline.trials.results import TrialResult
from pipeline.trials.setting import short_value
from pipeline.trials.studies_yaml import Defaults, StudiesFile, Study
from pipeline.trials.tuner import TrialCompute
from pipeline.trials.view import TrialsView
from pipeline.trials.worker import Shared

FILES = ("results.csv", "plot.svg", "pictures.png", "metrics.json")  # of a study, besides its summary


def run(file: StudiesFile, studies: Sequence[Study], defaults: Defaults, compute: TrialCompute) -> None:
    """Run studies, together with the seeds of the noise band; write studies/<name>/ and studies/index.html.

    Raises:
        PipelineError: data are absent or do not fit, or nothing could be trained.
    """
    with dataset.locked(compute) as check:
        data = TrialData(defaults)
        trials = {study.name: data.plan(study) for study in (*studies, file.noise)}
        planned = [trial for of_study in trials.values() for trial in of_study]
        failed = train(planned, data, compute, check)
        seeds = tuple(result for trial in trials[file.noise.name] if (result := results.find(trial)))
        outcomes = [_outcome(study, trials[study.name], seeds, failed.reasons) for study in studies]
        for outcome in outcomes:
            if outcome.trials:
                _write(outcome, data, defaults.params)
            else:
                _clear(outcome.study)
        studies_page.write(file.names())
    for outcome in outcomes:
        _show(outcome)
    console.print(f"All studies: {paths.STUDIES / studies_page.NAME}")
    for outcome in outcomes:
        if not outcome.trials:
            reason = next(iter(outcome.failed.values()))
            raise PipelineError(f"study {outcome.study.name}: every trial failed, the first with: {reason}")
    if failed.crashed:
        raise PipelineError(
            f"{len(failed.crashed)} trials failed, not by their settings; what the others found is written, "
            "and the same command tries them again"
        )


@dataclass(frozen=True)
class Failed:
    """Fits without a result, by key."""

    reasons: Mapping[str, str]
    crashed: frozenset[str] = frozenset()  # those whose processes failed: another try may succeed


def train(trials: Sequence[Trial], data: TrialData, compute: TrialCompute, check: Check) -> Failed:
    """Train what has no result yet; return what failed. `check` raises once the storage is lost.

    Raises:
        PipelineError: the compute asked for are not there, or Ray was lost; results are kept.
    """
    missing = [trial for trial in trials if results.find(trial) is None]
    fits = planning.fits(missing)
    for key in {trial.fit_key for trial in trials} - {fit.key for fit in fits}:
        dataset.forget(key, compute)  # where a kill came between a result and this
    distinct = len({(trial.fit_key, trial.epochs) for trial in trials})
    if not fits:
        console.print(f"{distinct} trials, all finished already: nothing to train")
        return Failed({})
    to_run = len({(trial.fit_key, trial.epochs) for trial in missing})
    already = f", {distinct - to_run} finished already" if distinct > to_run else ""
    with ray_session.connected(compute.address, [check]) as session:
        wanted = tuner.request_trials(ray_session.cluster_resources(session), compute)
        trainings = f" in {len(fits)} trainings" if len(fits) < to_run else ""
        console.print(
            f"{distinct} trials{already}; {to_run} to run{trainings}, {wanted}, on {data.about}",
            soft_wrap=True,
        )
        channels = {str(fit.model.channels) for fit in fits}
        with (
            data.shared(channels, compute, wanted.device) as shared,
            TrialsView("trials", min(wanted.at_once, len(fits)), len(fits)) as view,
        ):
            recorder = StudyRecorder(fits, missing, compute, view)
            try:
                tuner.run(
                    _trainable,
                    {"fits": fits, "shared": shared},
                    {"fit": tuner.one_trial_each(len(fits))},
                    wanted,
                    recorder,
                    session,
                    compute.max_failures,
                )
            except KeyboardInterrupt:
                raise Interrupted(
                    f"interrupted: {recorder.kept} of {to_run} trials are finished and kept, the others go "
                    "on from their checkpoints: run the same command again"
                ) from None
    return Failed(recorder.failures, frozenset(recorder.crashed))


def _trainable(config: Mapping[str, Any], fits: Sequence[Fit], shared: Shared) -> None:
    worker.run_fit(fits[config["fit"]], shared)


class StudyRecorder:
    """Writes results down as they come, and shows how trials fare. A `TrialCallback`."""

    def __init__(
        self, fits: Sequence[Fit], trials: Sequence[Trial], compute: TrialCompute, view: TrialsView
    ) -> None:
        self.fits, self.compute, self.view = fits, compute, view
        self.failures: dict[str, str] = {}
        self.crashed: set[str] = set()  # of those the ones that were not the settings' own
        self.kept = 0
        self.named: dict[str, Fit] = {}
        for fit in fits:
            label = _label([trial for trial in trials if trial.fit_key == fit.key])
            view.add(fit.key, label, fit.train.epochs)

    def started(self, name: str, config: Mapping[str, Any]) -> None:
        self.named[name] = self.fits[config["fit"]]
        self.view.start(self.named[name].key)

    def reported(self, name: str, report: FitReport, machine: str) -> None:
        fit = self.named[name]
        self.view.report(fit.key, report.epoch, dataset.costs_text(report), report.seconds)
        if report.snapshot:
            results.save(fit.key, TrialResult(report.snapshot, machine))
            self.kept += 1

    def tried_again(self, name: str, config: Mapping[str, Any], reason: str) -> None:
        self.view.again(self.fits[config["fit"]].key, reason)

    def diverged(self, name: str, reason: str) -> None:
        self.failures[self.named[name].key] = reason

    def failed(self, name: str, config: Mapping[str, Any], reason: str) -> None:
        key = self.fits[config["fit"]].key
        self.failures[key] = reason
        self.crashed.add(key)

    def ended(self, name: str, config: Mapping[str, Any]) -> None:
        fit = self.fits[config["fit"]]
        if fit.key in self.failures:
            self.view.end(fit.key, "failed", f"failed: {self.failures[fit.key]}")
            return
        dataset.forget(fit.key, self.compute)
        last = results.load(fit.key, fit.train.epochs)
        text = f"finished in {last.snapshot.seconds:,.0f} s" if last else "ended"
        self.view.end(fit.key, "finished", text)


def _label(trials: Sequence[Trial]) -> str:
    """Label of a fit: the first of its trials, and those that differ from it in epochs alone."""
    first = trials[0]
    same = [trial for trial in trials if set(trial.setting) == set(first.setting)]
    return " and ".join(dict.fromkeys(trial.label for trial in same))


def _outcome(
    study: Study, trials: Sequence[Trial], seeds: tuple[TrialResult, ...], failures: Mapping[str, str]
) -> Outcome:
    found, failed = [], {}
    for trial in trials:
        result = results.find(trial)
        if result:
            found.append((trial, result))
        else:
            failed[trial.label] = failures.get(trial.fit_key, "it has no result; run the command again")
    return Outcome(study, tuple(found), seeds, failed)


def _clear(study: Study) -> None:
    """Remove what an earlier run of it left: it would pass for this one's."""
    for name in (*FILES, studies_page.SUMMARY):
        (paths.study(study.name) / name).unlink(missing_ok=True)


def _write(outcome: Outcome, data: TrialData, base: Params) -> None:
    about = f"{data.about}; {_described(base)}"
    folder = paths.study(outcome.study.name)
    csv, plot, grid, metrics = (folder / name for name in FILES)
    files.write_text(csv, tables.results(outcome))
    files.write_bytes(plot, pictures.plot(outcome))
    files.write_bytes(grid, figures.png(pictures.reconstructions(outcome, data.originals)))
    files.write_json(metrics, tables.metrics(outcome))
    files.write_json(folder / studies_page.SUMMARY, tables.summary(outcome, about))


def _described(base: Params) -> str:
    """The defaults, in a line."""
    model, training = base.model, base.train
    return (
        f"{model.channels} {model.architecture} {short_value(model.hidden)}, latent {model.latent}, "
        f"{model.activation}, {model.likelihood}; {training.epochs} epochs, batches of {training.batch_size}"
    )


def _show(outcome: Outcome) -> None:
    """The figures and what they say, on standard output."""
    if not outcome.trials:
        return
    columns, rows = tables.table(outcome)
    table = Table("", *columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for column in table.columns:
        column.no_wrap = True
    for row in rows:
        table.add_row(*map(escape, row))
    out = output()
    out.print(f"\n[bold]{outcome.study.name}[/]  {escape(outcome.study.question)}")
    out.print(table)
    for sentence in tables.verdict(outcome):
        out.print(sentence, markup=False)
    out.print(f"{paths.study(outcome.study.name)}/: {', '.join((*FILES, studies_page.SUMMARY))}")
