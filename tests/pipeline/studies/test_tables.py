"""Tables of a study, and what is chance in them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline.evaluation.registry import METRICS
from pipeline.studies import noise, tables
from pipeline.trials.fitting import Snapshot
from pipeline.trials.results import TrialResult
from pipeline.trials.studies_yaml import Study
from tests.helpers.studies import trials_of


def test_the_band_holds_another_seed_in_95_of_100_cases() -> None:
    draw = np.random.default_rng(0)
    values = draw.normal(100.0, 3.0, (4000, 7))
    bands = [noise.noise(row[:5]) for row in values]
    held = np.mean([band.holds(row[5]) for band, row in zip(bands, values, strict=True)])
    assert held == pytest.approx(0.95, abs=0.012)
    apart = [abs(row[5] - row[6]) > band.difference for band, row in zip(bands, values, strict=True)]
    assert np.mean(apart) == pytest.approx(0.05, abs=0.012)


def test_runs_that_do_not_differ_seldom_spread_over_more_than_the_noise() -> None:
    draw = np.random.default_rng(1)
    wider = [np.ptp(row[5:]) > noise.noise(row[:5]).spread(6) for row in draw.normal(0.0, 1.0, (4000, 11))]
    assert np.mean(wider) == pytest.approx(0.05, abs=0.012)
    band = noise.noise(SEEDS)
    assert band.spread(2) == pytest.approx(band.difference)


def outcome(values: dict[str, float], seeds: list[float], **failed: str) -> tables.Outcome:
    """A study of the latent size whose excess on the test images is given; validation's is 1 more."""

    def result(excess: float) -> TrialResult:
        test = {"cost": excess + 600, "excess": excess, "mse": excess / 1e4, "active_units": 5}
        merged = {
            "train": {"cost": excess + 600, "reconstruction": 1.0, "kl": 1.0},
            "validation": test | {"excess": excess + 1},
            "test": test,
        }
        return TrialResult(
            Snapshot(50, {"rgb": merged}, np.zeros((2, 3, 8, 8), np.uint8), [], 3.2), "1 CPU thread"
        )

    settings = [{"model.latent": int(latent)} for latent in values]
    study = Study("mine", "Does it help?", tuple(settings))
    trials = zip(trials_of(*settings), map(result, values.values()), strict=True)
    return tables.Outcome(study, tuple(trials), tuple(map(result, seeds)), failed)


SEEDS = [100.0, 101.0, 99.0, 100.5, 99.5]  # deviation 0.79: a band of 97.6 to 102.4, a difference of 3.1


def test_better_is_more_of_some_metrics() -> None:
    band = noise.noise([10.0, 11.0, 12.0])
    assert tables._is_better(METRICS["psnr"], 99.0, band)
    assert not tables._is_better(METRICS["psnr"], -99.0, band)
    assert tables._is_better(METRICS["mse"], -99.0, band)
    said = tables._against_the_defaults(
        METRICS["psnr"], [(-99.0, "low"), (11.0, "same"), (99.0, "high")], band
    )
    assert said == (
        "By PSNR, high is better than the defaults; same is as good as the defaults; "
        "low is worse than the defaults."
    )


def test_a_large_difference_is_called_one() -> None:
    found = outcome({"2": 130.0, "20": 100.2, "50": 95.0}, SEEDS)
    said = tables.verdict(found)
    assert said[0] == (
        "excess: from 95.0 nats (latent 50) to 130.0 (latent 2), a difference of 35.0. "
        "3 seeds may spread over 4.0: it is larger than the noise."
    )
    assert said[1] == (
        "By excess, latent 50 is better than the defaults; latent 20 is as good as the defaults; "
        "latent 2 is worse than the defaults."
    )
    assert [e["against"] for e in tables.summary(found, "")["settings"].values()] == [
        "worse",
        "same",
        "better",
    ]


def test_a_small_difference_is_called_noise() -> None:
    found = outcome({"20": 100.2, "50": 99.0}, SEEDS)
    assert tables.verdict(found)[0].endswith(
        "a difference of 1.2. 2 seeds may spread over 3.1: it is no larger than the noise."
    )
    summary = tables.summary(found, "")
    assert {entry["against"] for entry in summary["settings"].values()} == {"same"}
    assert summary["noise"]["excess"]["seeds"] == 5
    assert json.loads(json.dumps(summary)) == summary


def test_without_seeds_nothing_is_judged() -> None:
    found = outcome({"20": 100.2, "50": 99.0}, SEEDS[:1])
    assert "is not known" in tables.verdict(found)[0]
    assert "against" not in next(iter(tables.summary(found, "")["settings"].values()))


def test_a_failed_trial_is_reported_beside_the_others() -> None:
    found = outcome({"20": 100.2, "50": 99.0}, SEEDS, **{"latent 70": "the cost of red became nan"})
    assert tables.verdict(found)[-1] == "latent 70 failed: the cost of red became nan."
    assert tables.summary(found, "")["failed"] == {"latent 70": "the cost of red became nan"}


def test_results_have_a_row_for_each_trial_component_and_split() -> None:
    rows = tables.results(outcome({"2": 130.0, "20": 100.2}, SEEDS)).splitlines()
    assert rows[0].startswith("model.latent,component,split,cost,")
    assert [row.split(",")[:3] for row in rows[1:4]] == [
        ["2", "rgb", "train"],
        ["2", "rgb", "validation"],
        ["2", "rgb", "test"],
    ]
    assert len(rows) == 7


def test_the_papers_figures_stand_beside_ours() -> None:
    found = outcome({"2": 130.0, "20": 100.2}, SEEDS)
    found = replace(found, study=replace(found.study, paper=(643.85, 642.58)))
    columns, rows = tables.table(found)
    assert columns[0] == "the paper's\ncost"
    assert [row[1:4] for row in rows] == [["643.85", "243.33", "243.33"], ["642.58", "233.40", "233.40"]]
