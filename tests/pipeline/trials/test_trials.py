"""Studies without Ray: what is declared, what has to be trained, what trials find, what the figures say."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML

from pipeline.common import paths
from pipeline.common.errors import PipelineError
from pipeline.distributed.placement import ClusterResources
from pipeline.experiment import params
from pipeline.experiment import workspace as workspaces
from pipeline.runs.checkpoints import Checkpoints
from pipeline.studies import noise, tables
from pipeline.trials import planning, results, spec, trial, tuner
from pipeline.trials.planning import Fit, Trial
from pipeline.trials.results import TrialResult
from pipeline.trials.spec import Defaults, Study
from pipeline.trials.trial import Snapshot, SplitTensors, TrialReport, TrialTensors
from pipeline.trials.tuner import TrialCompute
from tests.helpers.checkout import ROOT
from tests.helpers.models import model, train
from vae.config import Sizes
from vae.evaluate import evaluate
from vae.fit import fit
from vae.stack import assemble, initial_state

BASE: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")


def defaults(values: dict[str, Any]) -> Defaults:
    return Defaults(values, params.check(values, Path("params.yaml")))


def check(names: list[str], *, yes: bool = False) -> list[Study]:
    return spec.check(spec.read(), names, spec.read_defaults(), yes=yes)


@pytest.fixture
def here(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with the default parameters and studies."""
    workspaces.create(workspace / "w")
    monkeypatch.chdir(workspace / "w")
    return workspace / "w"


def declare(study: str, *, noise: str = "seeds", rest: str = "") -> None:
    """Write a studies.yaml with a study called mine."""
    text = f"noise: {noise}\nstudies:\n  seeds: {{vary: {{train.seed: [0, 1]}}}}\n  mine: {study}\n{rest}"
    paths.STUDIES_YAML.write_text(text)


@pytest.mark.parametrize(
    ("study", "said"),
    [
        (
            "{vary: {model.latnet: [1]}}",
            "studies.mine: model.latnet is no parameter; there are model.channels",
        ),
        ("{vary: {data.source: [a]}}", "studies.mine: data.source does not differ between trials"),
        ("{vary: {model.latent: [ten]}}", 'studies.mine: model.latent is "ten", but must be a whole number'),
        ("{vary: {model.latent: [0]}}", "studies.mine: model.latent is 0, but must be at least 1"),
        (
            "{vary: {model.latent: []}}",
            "studies.mine: model.latent is an empty list; give it a list of values",
        ),
        ("{vary: {model.latent: 20}}", "studies.mine: model.latent is 20; give it a list of values"),
        (
            f"{{vary: {{model.latent: {list(range(1, 401))}, train.seed: {list(range(400))}}}}}",
            "160,000 settings",
        ),
        ("{vary: {model.latent: [20, 20]}}", "studies.mine: latent 20 is there twice"),
        ("{vary: {}}", "studies.mine: vary must name parameters"),
        ("{}", "studies.mine: give it either vary"),
        ("{settings: []}", "studies.mine: settings must be a list of settings"),
        ("{settings: [20]}", "studies.mine: a setting is parameters with a value each"),
        (
            "{vary: {model.latent: [2]}, sort: true}",
            "studies.mine: sort is unknown; allowed there: paper, question",
        ),
        ("{vary: {model.latent: [2]}, paper: [1, 2]}", "studies.mine: paper has 2 costs for 1 settings"),
        (
            "{vary: {model.activation: [selu]}}",
            "studies.mine: model.activation is \"selu\"; allowed: 'softplus'",
        ),
        ("[", "line"),
    ],
)
def test_a_wrong_study_is_one_clear_line(here: Path, study: str, said: str) -> None:
    declare(study)
    with pytest.raises(PipelineError) as raised:
        check(["mine"])
    assert str(raised.value).startswith("studies.yaml:")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_other_wrongs_are_named_too(here: Path) -> None:
    with pytest.raises(
        PipelineError, match=r"^studies.yaml: no study is called latnet; there are latent, width"
    ):
        check(["latnet"])
    declare("{vary: {model.latent: [2]}}", noise="mine")
    with pytest.raises(PipelineError, match=r"noise must be a study that varies train.seed alone"):
        check(["mine"])
    declare("{vary: {model.latent: [2]}}", noise="[seeds]")
    with pytest.raises(PipelineError, match=r'noise is \["seeds"\]; name one of the studies: seeds, mine'):
        check(["mine"])
    declare("{vary: {model.latent: [2]}}", noise="chance")
    with pytest.raises(PipelineError, match=r'noise is "chance"; name one of the studies: seeds, mine'):
        check(["mine"])
    declare("{vary: {model.latent: [2]}}", rest="  Big: {vary: {model.latent: [2]}}")
    with pytest.raises(PipelineError, match=r"studies.Big: a name is of small letters"):
        check(["mine"])
    paths.STUDIES_YAML.unlink()
    with pytest.raises(PipelineError, match=r"^studies.yaml: not found"):
        check(["mine"])


def test_a_thousand_trials_are_asked_for_twice(here: Path) -> None:
    declare(f"vary: {{model.latent: {list(range(1, 41))}, train.seed: {list(range(26))}}}".join("{}"))
    with pytest.raises(PipelineError, match=r"studies.mine: 1,040 trials; add --yes to run more than 1,000"):
        check(["mine"])
    [study] = check(["mine"], yes=True)
    assert len(study.settings) == 1040


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ("{trials: 0, space: {model.latent: [2]}}", "trials is 0; it must be a whole number of at least 1"),
        ("{trials: 2, space: {}}", "space must name parameters"),
        (
            "{trials: 2, grace: 99, space: {model.latent: [2]}}",
            "grace is 99, more than params.yaml's 50 epochs",
        ),
        ("{trials: 2, space: {model.latent: 5}}", "model.latent is 5; give it a list of values, or a range"),
        ("{trials: 2, space: {model.latent: {from: 9, to: 2}}}", "from must be less than to"),
        ("{trials: 2, space: {train.learning_rate: {from: 0, to: 1, log: true}}}", "and above 0"),
        (
            "{trials: 2, space: {train.learning_rate: {from: 0.1, to: 7}}}",
            "train.learning_rate is 7, but must be",
        ),
        ("{trials: 2, space: {model.likelihood: [gaussian]}}", "costs under different likelihoods cannot"),
        ("{trials: 2, space: {train.seed: [1, 2]}}", "it would find the luckiest one"),
        ("{trials: 2, space: {model.latnet: [1, 2]}}", "model.latnet is no parameter"),
        (
            "{trials: 2, space: {model.channels: [joint, separate], model.conditional: [true, false]}}",
            "model.conditional is true, but must be false unless model.channels is joint",
        ),
    ],
)
def test_a_wrong_search_is_one_clear_line(here: Path, search: str, said: str) -> None:
    declare("{vary: {model.latent: [2]}}", rest=f"searches:\n  default: {search}\n")
    with pytest.raises(PipelineError, match=r"^studies.yaml: searches.default: ") as raised:
        spec.check_search(spec.read().search("default"), spec.read_defaults())
    assert said in str(raised.value)


def test_a_search_needs_validation_images(here: Path) -> None:
    params.change(paths.PARAMS, {"data": {"validation": 0.0}})
    with pytest.raises(
        PipelineError, match=r"^params.yaml: data.validation is 0, but validation images judge"
    ):
        spec.check_search(spec.read().search("default"), spec.read_defaults())


def test_the_papers_experiments_are_declared(here: Path) -> None:
    found = spec.read()
    studies, noise = check(list(found.studies)), found.noise
    values = {study.name: [next(iter(s.values())) for s in study.settings] for study in studies}
    assert values["latent"] == [2, 5, 10, 20, 50, 100]
    assert values["width"] == [[n, n] for n in (100, 300, 500, 700, 1000)]
    assert values["shape"] == [[500, 300], [300, 500], [700, 500], [500, 700], [700, 300]]
    assert values["epochs"] == [10, 20, 50]
    assert found.study("epochs").paper == (643.85, 642.58, 641.47)
    assert len(noise.settings) == 5
    separate, joint = (spec.parameters(defaults(BASE), s, "here") for s in found.study("channels").settings)
    units = len(paths.components(separate.model.channels)) * separate.model.latent
    assert (joint.model.channels, joint.model.latent) == ("joint", units)
    spec.check_search(found.search("default"), spec.read_defaults())


def plan(*settings: dict[str, Any], base: dict[str, Any] = BASE, data: bytes = b"") -> list[Trial]:
    return planning.plan(defaults(base), settings, data, "here")


def test_epochs_are_snapshots_of_one_training() -> None:
    trials = plan(*({"train.epochs": n} for n in (20, 10, 50)), {"model.latent": 2})
    first, second = planning.fits(trials)
    assert (first.snapshots, first.train.epochs) == ((10, 20, 50), 50)
    assert (second.snapshots, second.model.latent) == ((50,), 2)


def test_epochs_that_shape_the_schedule_are_trainings_of_their_own() -> None:
    trials = plan(*({"train.epochs": n, "train.decay": "cosine"} for n in (10, 20)))
    assert [job.snapshots for job in planning.fits(trials)] == [(10,), (20,)]


def test_a_trial_is_known_by_all_that_shapes_it() -> None:
    [trial] = plan({"model.latent": 20})
    assert plan({"train.seed": 0})[0].fit == trial.fit  # the defaults, said in another way
    assert plan({"model.latent": 20}, data=b"other")[0].fit != trial.fit
    changed = BASE | {"train": BASE["train"] | {"batch_size": 50}}
    assert plan({"model.latent": 20}, base=changed)[0].fit != trial.fit
    assert plan({"model.latent": 21})[0].fit != trial.fit


@pytest.mark.parametrize(
    ("machines", "expected"),
    [
        (TrialCompute(), (1, 0, 6)),
        (TrialCompute(workers=2), (1, 0, 2)),
        (TrialCompute(threads=3), (3, 0, 1)),
        (TrialCompute(gpus=0), (1, 0, 6)),
    ],
)
def test_trials_on_cpus(machines: TrialCompute, expected: tuple[int, float, int]) -> None:
    found = tuner.request_trials(ClusterResources((4.0, 2.0), (0, 0), 0), machines)
    assert (found.cpus, found.gpus, found.at_once) == expected
    assert found.device == "cpu"


def test_trials_share_gpus() -> None:
    offer = ClusterResources((8.0,), (2,), 2)
    assert tuner.request_trials(offer, TrialCompute()).at_once == 4
    found = tuner.request_trials(offer, TrialCompute(gpus=1, per_gpu=4))
    assert (found.gpus, found.at_once, found.device) == (0.25, 4, "cuda")
    assert tuner.request_trials(offer, TrialCompute(workers=3)).device == "cpu"
    assert found.cpus == 1
    # Eight trials on two cores; and two that would like three threads each.
    assert tuner.request_trials(ClusterResources((2.0,), (2,), 2), TrialCompute(per_gpu=4)).cpus == 0.25
    assert tuner.request_trials(ClusterResources((4.0,), (1,), 1), TrialCompute(threads=3)).cpus == 2
    assert (
        tuner.request_trials(ClusterResources((0.0,), (0,), 3), TrialCompute()).at_once == 6
    )  # that an autoscaler may start


@pytest.mark.parametrize(
    ("machines", "said"),
    [
        (TrialCompute(gpus=3), "--gpus 3: only 2 can be had here"),
        (TrialCompute(gpus=1, workers=1), "--gpus and --workers exclude each other"),
        (TrialCompute(threads=9), "--threads 9: no node has more than 8 CPU cores"),
    ],
)
def test_machines_that_are_not_there(machines: TrialCompute, said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        tuner.request_trials(ClusterResources((8.0,), (2,), 2), machines)


TINY = model(latent=2, hidden=(8,))
FITTED = train(epochs=6, batch_size=20)


def data(components: tuple[str, ...] = paths.COLOURS, pixels: int = 64, side: int = 8) -> TrialTensors:
    draw = torch.Generator().manual_seed(0)

    def part(count: int) -> SplitTensors:
        images = torch.randint(0, 256, (len(components), count, pixels), dtype=torch.uint8, generator=draw)
        return SplitTensors(images, (side, side), None)

    channels = pixels // side**2
    return TrialTensors(components, Sizes((channels, side, side)), part(100), part(20), part(30))


@pytest.fixture(autouse=True)
def _small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """SSIM's window does not fit into 8 pixels a side."""
    monkeypatch.setattr(trial.reconstruction, "ImageQuality", Blind)


class Blind:
    def add(self, found: torch.Tensor, expected: torch.Tensor) -> None:
        assert found.shape == expected.shape
        assert found.shape[1] == 3

    def means(self) -> dict[str, float]:
        return {"mse": 0.25}


def follow(
    folder: Path,
    job: Fit,
    given: TrialTensors | None = None,
    checkpoint_seconds: float = 1e9,
    until: int = 99,
) -> list[TrialReport]:
    given = given or data()
    checkpoints = Checkpoints(str(folder), job.key, given.components)
    found = []
    for report in trial.train_and_measure(job, given, checkpoints, checkpoint_seconds, "cpu"):
        found.append(report)
        if report.epoch == until:
            break
    return found


def snapshots(reports: list[TrialReport]) -> list[Snapshot]:
    return [report.snapshot for report in reports if report.snapshot]


def test_a_trial_finds_what_fit_and_evaluate_find(tmp_path: Path) -> None:
    given = data()
    reports = follow(tmp_path, Fit("key", TINY, FITTED, (2, 6)), given)
    assert [report.epoch for report in reports] == list(range(1, 7))
    early, late = snapshots(reports)
    assert (early.epoch, late.epoch) == (2, 6)
    states = [
        initial_state(c, given.train.images_CND[i], given.sizes, TINY, 0)
        for i, c in enumerate(given.components)
    ]
    for epoch in fit(given.train.images_CND, states, FITTED):
        last = epoch
    model = assemble(last.states(), torch.device("cpu")).eval()
    for component, measured in zip(
        given.components, evaluate(model, given.components, given.test.images_CND, 0), strict=True
    ):
        assert late.found[component]["test"]["cost"] == pytest.approx(measured.cost, rel=1e-5)
        assert late.found[component]["test"]["mse"] == pytest.approx(measured.mse, rel=1e-5)
    costs = [late.found[component]["test"]["cost"] for component in given.components]
    assert late.found["rgb"]["test"]["cost"] == pytest.approx(sum(costs), rel=1e-5)
    assert late.found["rgb"]["test"]["mse"] == 0.25
    assert set(late.found["rgb"]) == {"train", "validation", "test"}
    assert late.shown.shape == (trial.SHOWN, 3, 8, 8)
    assert {r.epoch for r in late.history} == set(range(1, 7))


def test_snapshots_are_what_shorter_trainings_find(tmp_path: Path) -> None:
    whole = snapshots(follow(tmp_path, Fit("a", TINY, FITTED, (2, 6))))
    [short] = snapshots(follow(tmp_path, Fit("b", TINY, replace(FITTED, epochs=2), (2,))))
    assert whole[0].found == short.found
    np.testing.assert_array_equal(whole[0].shown, short.shown)


@pytest.mark.parametrize("until", [1, 2, 4])
def test_an_interrupted_trial_goes_on_to_the_same_end(tmp_path: Path, until: int) -> None:
    job = Fit("key", TINY, FITTED, (2, 6))
    whole = snapshots(follow(tmp_path / "a", job))
    first = follow(tmp_path / "b", job, checkpoint_seconds=0, until=until)
    kept = snapshots(first)
    waiting = tuple(e for e in job.snapshots if e not in [s.epoch for s in kept])
    rest = follow(tmp_path / "b", replace(job, snapshots=waiting), checkpoint_seconds=0)
    # What came before the checkpoint, which was one behind, is told again, and not trained.
    assert [report.epoch for report in rest] == list(range(1, 7))
    whole_costs = [report.costs for report in follow(tmp_path / "c", job)]
    assert [report.costs for report in rest] == whole_costs
    assert [s.found for s in kept + snapshots(rest)] == [s.found for s in whole]


def test_a_trial_that_is_tried_again_keeps_its_progress(tmp_path: Path) -> None:
    given, job = data(), Fit("key", TINY, FITTED, (2, 6))
    checkpoints = Checkpoints(str(tmp_path), job.key, given.components)
    for report in trial.train_and_measure(job, given, checkpoints, 0, "cpu", "me"):
        if report.epoch == 5:
            break
    again = list(trial.train_and_measure(job, given, checkpoints, 0, "cpu", "me"))
    assert [s.epoch for s in snapshots(again)] == [6]
    # Whoever comes later may not have kept it.
    assert [
        s.epoch for s in snapshots(list(trial.train_and_measure(job, given, checkpoints, 0, "cpu", "you")))
    ] == [
        2,
        6,
    ]


def test_a_checkpoint_past_a_snapshot_that_is_missing_is_not_gone_on_from(tmp_path: Path) -> None:
    job = Fit("key", TINY, FITTED, (6,))
    follow(tmp_path, job, checkpoint_seconds=0, until=6)
    again = follow(tmp_path, replace(job, snapshots=(3, 6)))
    assert again[0].epoch == 1
    assert [s.epoch for s in snapshots(again)] == [3, 6]


def test_a_joint_trial_has_one_component(tmp_path: Path) -> None:
    joint = replace(TINY, channels="joint")
    given = data(("rgb",), pixels=192)
    [found] = snapshots(follow(tmp_path, Fit("key", joint, FITTED, (6,)), given))
    assert set(found.found) == {"rgb"}
    assert found.found["rgb"]["test"]["excess"] > 0
    assert found.shown.shape == (trial.SHOWN, 3, 8, 8)


def test_results_come_back_whole_or_not_at_all(workspace: Path) -> None:
    [found] = snapshots(follow(workspace, Fit("key", TINY, FITTED, (6,))))
    assert results.load("key", 6) is None
    results.save("key", TrialResult(found, "1 CPU thread"))
    read = results.load("key", 6)
    assert read
    assert (read.machine, read.snapshot.found, read.snapshot.history) == (
        "1 CPU thread",
        found.found,
        found.history,
    )
    np.testing.assert_array_equal(read.snapshot.shown, found.shown)
    path = results.path("key", 6)
    path.write_bytes(path.read_bytes()[:-100])
    assert results.load("key", 6) is None


def test_a_result_that_cannot_be_read_is_not_trained_again(workspace: Path) -> None:
    results.path("key", 6).mkdir(parents=True)
    with pytest.raises(PipelineError, match=r"key-000006.safetensors: cannot be read: Is a directory$"):
        results.load("key", 6)


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
    trials = zip(plan(*settings), map(result, values.values()), strict=True)
    return tables.Outcome(study, tuple(trials), tuple(map(result, seeds)), failed)


SEEDS = [100.0, 101.0, 99.0, 100.5, 99.5]  # deviation 0.79: a band of 97.6 to 102.4, a difference of 3.1


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


class Watching:
    """A watcher whose disk is full."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def started(self, name: str, config: Any) -> None:
        self.heard.append(f"started {name}")

    def reported(self, name: str, report: TrialReport, machine: str) -> None:
        raise PipelineError("the disk is full")

    def ended(self, name: str, config: Any) -> None:
        self.heard.append(f"ended {name}")


def test_what_a_watcher_raises_ends_all_trials_and_is_no_trials_fault() -> None:
    watcher = Watching()
    callback = tuner._Callback(cast(Any, watcher))
    stopper = tuner._EndsAtAFault(callback)
    tune_trial = SimpleNamespace(trial_id="t", config={})
    callback.on_trial_start(0, [], tune_trial)
    assert not stopper.stop_all()
    callback.on_trial_result(0, [], tune_trial, {"report": TrialReport(1, {}, 0.0), "machine": "m"})
    callback.on_trial_complete(0, [], tune_trial)
    assert stopper.stop_all()
    assert str(callback.fault) == "the disk is full"
    assert watcher.heard == ["started t"]


def test_what_no_trial_would_escape_ends_all_trials() -> None:
    callback = tuner._Callback(cast(Any, Watching()))
    callback.on_trial_result(0, [], SimpleNamespace(trial_id="t", config={}), {"hopeless": "no storage"})
    assert isinstance(callback.fault, PipelineError)
    assert tuner._EndsAtAFault(callback).stop_all()
