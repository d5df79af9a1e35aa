"""dvc.yaml against the code: its paths, the modules and the parameters of each stage."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline.common import paths
from pipeline.experiment import guard, places, stage_modules, workspace
from pipeline.studies import dvc_stages
from tests.helpers.checkout import ROOT
from tests.helpers.imports import modules as installed

STAGES: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

# What each stage's docstring says it reads and writes.
READS: dict[str, set[Path]] = {
    "prepare": set(),
    "download": set(),
    "convert": {paths.RAW},
    "split": {paths.IMAGES},
    "classifier": {paths.CHANNELS},
    "train": {paths.CHANNELS},
    "merge": {paths.CHANNELS, paths.CLASSIFIER_FOLDER, paths.MODELS, paths.HISTORY},
}
WRITES = {
    "prepare": {paths.MODULES},
    "download": {paths.RAW},
    "convert": {paths.IMAGES},
    "split": {paths.CHANNELS},
    "classifier": {paths.CLASSIFIER_FOLDER},
    "train": {paths.MODELS, paths.TRAIN_METRICS, paths.HISTORY},
    "merge": {paths.RECONSTRUCTIONS.parent, paths.REPORT.parent, paths.TEST_METRICS, paths.SUMMARY},
}


def names(entries: list[Any]) -> set[Path]:
    return {Path(entry if isinstance(entry, str) else next(iter(entry))) for entry in entries}


def test_stages_are_the_commands() -> None:
    assert list(STAGES) == ["prepare", "download", "convert", "split", "classifier", "train", "merge"]
    assert all(stage["cmd"] == f"vaepipe {name}" for name, stage in STAGES.items())


@pytest.mark.parametrize("name", STAGES)
def test_deps_are_what_the_stage_reads_and_the_code_that_it_runs(name: str) -> None:
    code = {paths.modules(name)} if name in stage_modules.STAGES else set()
    assert names(STAGES[name].get("deps", [])) == READS[name] | code


def test_the_code_of_every_stage_is_written_down() -> None:
    assert set(stage_modules.STAGES) == (set(STAGES) - {"prepare"}) | {"study"}


@pytest.mark.parametrize(
    ("stage", "uses", "not_its"),
    [
        ("download", "pipeline/data/svhn/fetch.py", "pipeline/data/svhn/full_numbers.py"),
        ("split", "pipeline/data/store.py", "vae/model.py"),
        ("train", "vae/step.py", "vae/pretrained.py"),
        ("merge", "pipeline/report/page.html", "vae/fit.py"),
        ("study", "pipeline/report/studies.html", "pipeline/search/run.py"),
    ],
)
def test_the_code_of_a_stage_is_what_it_loads_and_no_more(stage: str, uses: str, not_its: str) -> None:
    used = stage_modules.used(stage)
    assert uses in used
    assert not_its not in used
    assert (stage_modules.ROOT / not_its).exists()
    assert all((stage_modules.ROOT / path).is_file() for path in used)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["download", "train"])
def test_what_python_loads_of_ours_with_a_stage_is_among_its_code(stage: str) -> None:
    """Against what is read from the source, which also finds what is imported later."""
    code = (
        f"import {stage_modules.STAGES[stage]}, sys\n"
        "ours = [module for name, module in sys.modules.items() if name.startswith(('vae.', 'pipeline.'))]\n"
        "print(*(module.__file__ for module in ours))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {Path(path).relative_to(ROOT).as_posix() for path in shown.stdout.split()}
    assert {path for path in loaded if not path.endswith("__init__.py")} <= set(stage_modules.used(stage))


@pytest.mark.parametrize("name", STAGES)
def test_outs_are_what_the_stage_writes(name: str) -> None:
    stage = STAGES[name]
    written = names(stage["outs"] + stage.get("metrics", []) + stage.get("plots", []))
    assert written == WRITES[name]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_touches_just_its_paths_of_layout(name: str) -> None:
    """Each name of `common.paths` that a stage's module mentions is under a path that dvc.yaml gives it."""
    source = ast.parse(installed()[f"pipeline.stages.{name}"].read_text())
    mentioned = {
        node.attr
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "paths"
    }
    functions = {
        "raw": paths.raw("train"),
        "archive": paths.archive("train"),
        "channel": paths.channel("red"),
        "model": paths.model("red"),
    }
    declared = {functions.get(name) or getattr(paths, name) for name in mentioned}
    free = {paths.PARAMS}
    given = READS[name] | WRITES[name]
    for path in declared - free:
        if isinstance(path, Path):
            assert any(path.is_relative_to(folder) for folder in given), path


@pytest.mark.parametrize("name", STAGES)
def test_params_are_what_the_command_hands_to_the_stage(name: str) -> None:
    [function] = [
        node
        for node in ast.parse((ROOT / "pipeline/cli/stages.py").read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    chains = {ast.unparse(n) for n in ast.walk(function) if isinstance(n, ast.Attribute | ast.Name)}
    chains = {chain.replace("params.read()", "read") for chain in chains}
    read = {chain.removeprefix("read.") for chain in chains if chain.startswith("read.")}
    handed = {key for key in read if not any(other.startswith(f"{key}.") for other in read)}
    if "read" in chains and not handed:  # the whole of it
        handed = set(YAML(typ="safe").load(ROOT / "params.yaml"))
    assert set(STAGES[name].get("params", [])) == handed


def test_a_studys_stage_is_its_command_and_what_it_reads_and_writes() -> None:
    stage = dvc_stages.stage("latent", "seeds")
    assert (stage["wdir"], stage["cmd"]) == ("..", "vaepipe study latent")
    assert names(stage["deps"]) == {paths.CHANNELS, paths.modules("study")}
    folder = paths.study("latent")
    assert names(stage["outs"] + stage["plots"]) == {
        folder / f for f in ("results.csv", "summary.json", "metrics.json", "plot.svg", "pictures.png")
    }
    assert stage["params"][-1] == {"studies.yaml": ["noise", "studies.latent", "studies.seeds"]}
    read = guard.trials("studies.latent", "studies.seeds").params
    assert list(read[paths.PARAMS]) == stage["params"][:-1]
    assert list(read[paths.STUDIES_YAML]) == stage["params"][-1]["studies.yaml"]


def test_places_are_the_outs_of_all_stages() -> None:
    """No source may be there, and in folders no file but what their stage writes."""
    outs = {path for written in WRITES.values() for path in written}
    assert outs <= set(places.FOLDERS) | set(places.OTHERS)
    assert set(places.FOLDERS) <= outs


def test_what_survives_dvc_is_ignored_by_git_and_dvc() -> None:
    assert f"/{paths.STATE}/" in (ROOT / ".gitignore").read_text().split()
    assert str(paths.STATE) in (ROOT / ".dvcignore").read_text().split()


def test_a_wheel_carries_the_template_of_a_workspace() -> None:
    import tomllib

    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["force-include"]) == set(workspace.TEMPLATE)
    assert wheel["force-include"] == {name: f"pipeline/template/{name}" for name in workspace.TEMPLATE}
