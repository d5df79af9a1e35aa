"""A study's figures: the rows of results.csv, summary.json with what they say, metrics.json for DVC."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.common import files, paths
from pipeline.common.wording import listed
from pipeline.evaluation.registry import METRICS, Metric
from pipeline.studies.noise import Noise, noise
from pipeline.trials.planning import Trial
from pipeline.trials.results import TrialResult
from pipeline.trials.setting import short
from pipeline.trials.studies_yaml import Study

# Measures of each split, in the order of results.csv; a page shows those of `report.studies_page.COLUMNS`.
COLUMNS = (
    "cost", "reconstruction", "kl", "floor", "excess", "bits_per_dim", "mse", "psnr", "ssim", "active_units",
)  # fmt: skip
MEASURED = ("train", "validation", "test")  # splits, in the order of results.csv


# What settings are compared by, on the merged test images; the first that all trials and seeds have decides.
COMPARED = tuple(METRICS[name] for name in ("excess", "bits_per_dim", "mse"))


def value(result: TrialResult, metric: Metric, split: str = "test") -> float:
    """A metric of a trial's merged images."""
    return result.snapshot.metrics[paths.MERGED][split][metric.name]


@dataclass(frozen=True)
class Outcome:
    """A study that has run."""

    study: Study
    trials: tuple[tuple[Trial, TrialResult], ...]  # in the order of the settings
    seeds: tuple[TrialResult, ...]  # of the noise study; fewer than declared if some failed
    failed: Mapping[str, str]  # by setting: why

    def measures(self) -> list[Metric]:
        """Metrics that all trials have; first, the one that decides, which the seeds have too."""
        results = [result for _, result in self.trials]
        common = [m for m in COMPARED if all(_has(result, m) for result in results)]
        return sorted(common, key=lambda m: self.noise(m) is None)

    def noise(self, measure: Metric) -> Noise | None:
        """The noise of a measure; None where the seeds do not have it."""
        if len(self.seeds) < 2 or not all(_has(result, measure) for result in self.seeds):
            return None
        return noise([value(result, measure) for result in self.seeds])

    def splits(self) -> list[str]:
        """Splits that were measured."""
        return [split for split in MEASURED if split in self.trials[0][1].snapshot.metrics[paths.MERGED]]


def _has(result: TrialResult, measure: Metric) -> bool:
    return measure.name in result.snapshot.metrics[paths.MERGED]["test"]


def results(outcome: Outcome) -> str:
    """results.csv: a row for each trial, component and split; nats are an image, seconds of training."""
    varied = list(dict.fromkeys(path for trial, _ in outcome.trials for path in trial.setting))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*varied, "component", "split", *COLUMNS, "seconds"])
    for trial, result in outcome.trials:
        values = [_cell(trial.setting.get(path)) for path in varied]
        for component, splits in result.snapshot.metrics.items():
            for split in MEASURED:
                if split in splits:
                    measured = [splits[split].get(name, "") for name in COLUMNS]
                    writer.writerow([*values, component, split, *measured, round(result.snapshot.seconds, 1)])
    return text.getvalue()


def _cell(setting: Any) -> Any:
    return json.dumps(setting) if isinstance(setting, list | bool) else "" if setting is None else setting


def summary(outcome: Outcome, about: str) -> dict[str, Any]:
    """summary.json: each setting's measures on the test images, the noise band, and the verdict.

    No times, so that it is the same on every machine up to rounding. `about`: what was trained, and on what.
    """
    figures: dict[str, Any] = {
        "question": outcome.study.question,
        "about": about,
        "verdict": "\n".join(verdict(outcome)),
    }
    for measure in outcome.measures():
        band = outcome.noise(measure)
        if band:
            figures.setdefault("noise", {})[measure.name] = {
                "seeds": band.seeds,
                "mean": files.round_significant(band.mean),
                "deviation": files.round_significant(band.deviation),
                "low": files.round_significant(band.low),
                "high": files.round_significant(band.high),
                "difference": files.round_significant(band.difference),
            }
    figures["settings"] = {
        trial.label: _summarised(outcome, place) for place, (trial, _) in enumerate(outcome.trials)
    }
    if outcome.failed:
        figures["failed"] = dict(outcome.failed)
    return figures


def metrics(outcome: Outcome) -> dict[str, dict[str, float]]:
    """metrics.json, for DVC: by measure and setting, on the test images; no texts."""
    return {
        measure.name: {trial.label: value(result, measure) for trial, result in outcome.trials}
        for measure in outcome.measures()
    }


def _summarised(outcome: Outcome, place: int) -> dict[str, Any]:
    """One setting's entry."""
    trial, result = outcome.trials[place]
    merged = result.snapshot.metrics[paths.MERGED]
    values: dict[str, Any] = {name: merged["test"][name] for name in COLUMNS if name in merged["test"]}
    if outcome.study.paper:
        paper = dict(zip(map(short, outcome.study.settings), outcome.study.paper, strict=True))
        values["paper_cost"] = paper[trial.label]
        values["channel_cost_train"] = _channel_cost(result, "train")
        values["channel_cost"] = _channel_cost(result, "test")
    if against := _against(outcome, result):
        values["against"] = against
    return values


def _against(outcome: Outcome, result: TrialResult) -> str:
    """The first measure against the seeds' band: better, same or worse; empty where there is none."""
    first = outcome.measures()[0]
    band = outcome.noise(first)
    if not band or _is_noise(outcome):
        return ""
    own = value(result, first)
    return "same" if band.holds(own) else "better" if _is_better(first, own, band) else "worse"


def _is_better(metric: Metric, number: float, band: Noise) -> bool:
    """Whether a number is beyond the band on the side on which the metric is better."""
    return number > band.high if metric.better == "more" else number < band.low


def _channel_cost(result: TrialResult, split: str) -> float:
    """Cost of one channel, as the paper has it: the mean over the three."""
    return files.round_significant(result.snapshot.metrics[paths.MERGED][split]["cost"] / len(paths.COLOURS))


def verdict(outcome: Outcome) -> list[str]:
    """Write what the numbers say, in sentences."""
    said = []
    for measure in outcome.measures():
        band = outcome.noise(measure)
        said += _verdict(outcome, measure, band)
    for label, reason in outcome.failed.items():
        said.append(f"{label} failed: {reason.rstrip('.')}.")
    return said


def _verdict(outcome: Outcome, metric: Metric, band: Noise | None) -> list[str]:
    """Sentences on one metric: how far settings spread, and which of them differ from the defaults."""
    ranked = sorted((value(result, metric), trial.label) for trial, result in outcome.trials)
    if _is_noise(outcome):
        return [_spread_of_seeds(metric, ranked, band)]
    unit = f" {metric.unit}" if metric.unit else ""
    (least, best), (most, worst) = ranked[0], ranked[-1]
    said = (
        f"{metric.title}: from {metric.compared(least)}{unit} ({best}) to {metric.compared(most)} ({worst})"
    )
    if not band:
        why = "the seeds failed" if len(outcome.seeds) < 2 else "the seeds' likelihood is another"
        return [f"{said}; how much of that is chance is not known: {why}."]
    spread = band.spread(len(ranked))
    larger = "larger" if most - least > spread else "no larger"
    said += (
        f", a difference of {metric.compared(most - least)}. {len(ranked)} seeds may spread over "
        f"{metric.compared(spread)}: it is {larger} than the noise."
    )
    return [said, _against_the_defaults(metric, ranked, band)]


def _spread_of_seeds(metric: Metric, ranked: Sequence[tuple[float, str]], band: Noise | None) -> str:
    unit = f" {metric.unit}" if metric.unit else ""
    least, most = metric.compared(ranked[0][0]), metric.compared(ranked[-1][0])
    said = f"{metric.title}: {len(ranked)} seeds lie between {least} and {most}{unit}"
    if not band:
        return f"{said}."
    return (
        f"{said}; two runs that differ by less than {metric.compared(band.difference)} cannot be told apart."
    )


def _against_the_defaults(metric: Metric, ranked: Sequence[tuple[float, str]], band: Noise) -> str:
    groups = {
        "better than": [label for number, label in ranked if _is_better(metric, number, band)],
        "as good as": [label for number, label in ranked if band.holds(number)],
        "worse than": [
            label
            for number, label in ranked
            if not band.holds(number) and not _is_better(metric, number, band)
        ],
    }
    compared = [
        f"{listed(labels)} {'is' if len(labels) == 1 else 'are'} {how} the defaults"
        for how, labels in groups.items()
        if labels
    ]
    return f"By {metric.title}, {'; '.join(compared)}."


def _is_noise(outcome: Outcome) -> bool:
    return all(set(trial.setting) == {"train.seed"} for trial, _ in outcome.trials)


def table(outcome: Outcome) -> tuple[list[str], list[list[str]]]:
    """Columns and rows for people, of all channels together; rows begin with the setting."""
    measures, judged = outcome.measures(), any(_against(outcome, result) for _, result in outcome.trials)
    columns = [f"{measure.title}\ntest" for measure in measures]
    if "validation" in outcome.splits():
        columns.insert(1, f"{measures[0].title}\nvalidation")
    columns += ["active\nunits", "training\nseconds"] + (["against\nthe defaults"] if judged else [])
    if outcome.study.paper:
        columns = ["the paper's\ncost", "cost\ntrain", "cost\ntest", *columns]
    rows = []
    for place, (trial, result) in enumerate(outcome.trials):
        entry = _summarised(outcome, place)
        cells = [measure.compared(value(result, measure)) for measure in measures]
        if "validation" in outcome.splits():
            cells.insert(1, measures[0].compared(value(result, measures[0], "validation")))
        cells += [f"{entry['active_units']:.0f}", f"{result.snapshot.seconds:,.0f}"]
        if outcome.study.paper:
            names = ("paper_cost", "channel_cost_train", "channel_cost")
            cells = [*(f"{entry[name]:.2f}" for name in names), *cells]
        rows.append([trial.label, *cells, *([entry["against"]] if judged else [])])
    return columns, rows
