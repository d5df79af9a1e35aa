"""A study's figures: the rows of results.csv, summary.json with what they say, metrics.json for DVC."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.common import files, paths
from pipeline.studies.noise import Noise, noise
from pipeline.trials.planning import Trial
from pipeline.trials.results import TrialResult
from pipeline.trials.setting import short
from pipeline.trials.spec import Study

# Measures of each split, in the order of results.csv.
COLUMNS = (
    "cost", "reconstruction", "kl", "floor", "excess", "bits_per_dim", "mse", "psnr", "ssim", "active_units",
)  # fmt: skip
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Measure:
    """A measure that settings are compared by: of merged pictures on the test images, less is better."""

    name: str
    title: str
    unit: str
    digits: int  # behind the point

    def of(self, result: TrialResult, split: str = "test") -> float:
        return result.snapshot.found[paths.JOINT][split][self.name]

    def text(self, value: float) -> str:
        return f"{value:.{self.digits}f}"


EXCESS = Measure("excess", "excess", "nats", 1)
BITS = Measure("bits_per_dim", "bits/dim", "bits", 3)
MSE = Measure("mse", "MSE", "", 5)


@dataclass(frozen=True)
class Outcome:
    """A study that has run."""

    study: Study
    trials: tuple[tuple[Trial, TrialResult], ...]  # in the order of the settings
    seeds: tuple[TrialResult, ...]  # of the noise study; fewer than declared if some failed
    failed: Mapping[str, str]  # by setting: why

    def measures(self) -> list[Measure]:
        """Those that all trials have; first, what the study is judged by: one that the seeds have too."""
        found = [result for _, result in self.trials]
        common = [m for m in (EXCESS, BITS, MSE) if all(_has(result, m) for result in found)]
        return sorted(common, key=lambda m: self.noise(m) is None)

    def noise(self, measure: Measure) -> Noise | None:
        """The noise of a measure; None where the seeds do not have it."""
        if len(self.seeds) < 2 or not all(_has(result, measure) for result in self.seeds):
            return None
        return noise([measure.of(result) for result in self.seeds])

    def splits(self) -> list[str]:
        """Those that were measured."""
        return [split for split in SPLITS if split in self.trials[0][1].snapshot.found[paths.JOINT]]


def _has(result: TrialResult, measure: Measure) -> bool:
    return measure.name in result.snapshot.found[paths.JOINT]["test"]


def results(outcome: Outcome) -> str:
    """results.csv: a row for each trial, component and split; nats are an image, seconds of training."""
    varied = list(dict.fromkeys(path for trial, _ in outcome.trials for path in trial.setting))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*varied, "component", "split", *COLUMNS, "seconds"])
    for trial, result in outcome.trials:
        values = [_cell(trial.setting.get(path)) for path in varied]
        for component, splits in result.snapshot.found.items():
            for split in SPLITS:
                if split in splits:
                    measured = [splits[split].get(name, "") for name in COLUMNS]
                    writer.writerow([*values, component, split, *measured, round(result.snapshot.seconds, 1)])
    return text.getvalue()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | bool) else "" if value is None else value


def summary(outcome: Outcome, about: str) -> dict[str, Any]:
    """summary.json: each setting's measures on the test images, the noise band, and the verdict.

    No times, so that it is the same on every machine up to rounding. `about`: what was trained, and on what.
    """
    found: dict[str, Any] = {
        "question": outcome.study.question,
        "about": about,
        "verdict": "\n".join(verdict(outcome)),
    }
    for measure in outcome.measures():
        band = outcome.noise(measure)
        if band:
            found.setdefault("noise", {})[measure.name] = {
                "seeds": band.seeds,
                "mean": files.round_significant(band.mean),
                "deviation": files.round_significant(band.deviation),
                "low": files.round_significant(band.low),
                "high": files.round_significant(band.high),
                "difference": files.round_significant(band.difference),
            }
    found["settings"] = {
        trial.label: _summarised(outcome, place) for place, (trial, _) in enumerate(outcome.trials)
    }
    if outcome.failed:
        found["failed"] = dict(outcome.failed)
    return found


def metrics(outcome: Outcome) -> dict[str, dict[str, float]]:
    """metrics.json, for DVC: by measure and setting, on the test images; no texts."""
    return {
        measure.name: {trial.label: measure.of(result) for trial, result in outcome.trials}
        for measure in outcome.measures()
    }


def _summarised(outcome: Outcome, place: int) -> dict[str, Any]:
    """One setting's entry."""
    trial, result = outcome.trials[place]
    merged = result.snapshot.found[paths.JOINT]
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
    value = first.of(result)
    return "same" if band.holds(value) else "better" if value < band.low else "worse"


def _channel_cost(result: TrialResult, split: str) -> float:
    """Of one channel, as the paper has it: the mean over the three."""
    return files.round_significant(result.snapshot.found[paths.JOINT][split]["cost"] / len(paths.COLOURS))


def verdict(outcome: Outcome) -> list[str]:
    """What the numbers say, in sentences."""
    said = []
    for measure in outcome.measures():
        band = outcome.noise(measure)
        said += _verdict(outcome, measure, band)
    for label, reason in outcome.failed.items():
        said.append(f"{label} failed: {reason.rstrip('.')}.")
    return said


def _verdict(outcome: Outcome, measure: Measure, band: Noise | None) -> list[str]:
    ranked = sorted((measure.of(result), trial.label) for trial, result in outcome.trials)
    (least, best), (most, worst) = ranked[0], ranked[-1]
    unit = f" {measure.unit}" if measure.unit else ""
    if _is_noise(outcome):
        apart = (
            f"; two runs that differ by less than {measure.text(band.difference)} cannot be told apart"
            if band
            else ""
        )
        return [
            f"{measure.title}: {len(ranked)} seeds lie between {measure.text(least)} and {measure.text(most)}"
            f"{unit}{apart}."
        ]
    said = f"{measure.title}: from {measure.text(least)}{unit} ({best}) to {measure.text(most)} ({worst})"
    if not band:
        why = "the seeds failed" if len(outcome.seeds) < 2 else "the seeds' likelihood is another"
        return [f"{said}; how much of that is chance is not known: {why}."]
    spread = band.spread(len(ranked))
    larger = "larger" if most - least > spread else "no larger"
    said += (
        f", a difference of {measure.text(most - least)}. {len(ranked)} seeds may spread over "
        f"{measure.text(spread)}: it is {larger} than the noise."
    )
    groups = {
        "better": [label for value, label in ranked if value < band.low],
        "as good as": [label for value, label in ranked if band.holds(value)],
        "worse": [label for value, label in ranked if value > band.high],
    }
    compared = [
        f"{' and '.join(labels) if len(labels) < 3 else ', '.join(labels[:-1]) + ' and ' + labels[-1]} "
        f"{'is' if len(labels) == 1 else 'are'} {how if how == 'as good as' else how + ' than'} the defaults"
        for how, labels in groups.items()
        if labels
    ]
    return [said, f"By {measure.title}, {'; '.join(compared)}."]


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
        cells = [measure.text(measure.of(result)) for measure in measures]
        if "validation" in outcome.splits():
            cells.insert(1, measures[0].text(measures[0].of(result, "validation")))
        cells += [f"{entry['active_units']:.0f}", f"{result.snapshot.seconds:,.0f}"]
        if outcome.study.paper:
            names = ("paper_cost", "channel_cost_train", "channel_cost")
            cells = [*(f"{entry[name]:.2f}" for name in names), *cells]
        rows.append([trial.label, *cells, *([entry["against"]] if judged else [])])
    return columns, rows
