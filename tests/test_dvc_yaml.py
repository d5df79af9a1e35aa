"""dvc.yaml against the code: its paths, the modules and the parameters of each stage."""

import ast
from pathlib import Path
from typing import Any

import pytest
from imports import ROOT, closure, modules
from ruamel.yaml import YAML

from pipeline import layout, workspace

STAGES: dict[str, Any] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

# What each stage's docstring says it reads and writes.
READS = {
    "download": set(),
    "convert": {layout.RAW},
    "split": {layout.IMAGES},
    "judge": {layout.CHANNELS},
    "train": {layout.CHANNELS},
    "merge": {layout.CHANNELS, layout.JUDGE, layout.MODELS, layout.HISTORY},
}
WRITES = {
    "download": {layout.RAW},
    "convert": {layout.IMAGES},
    "split": {layout.CHANNELS},
    "judge": {layout.JUDGE},
    "train": {layout.MODELS, layout.TRAIN_METRICS, layout.HISTORY},
    "merge": {layout.RECONSTRUCTIONS.parent, layout.REPORT.parent, layout.TEST_METRICS},
}


def names(entries: list[Any]) -> set[Path]:
    return {Path(entry if isinstance(entry, str) else next(iter(entry))) for entry in entries}


def test_stages_are_the_commands() -> None:
    assert list(STAGES) == ["download", "convert", "split", "judge", "train", "merge"]
    assert all(stage["cmd"] == f"vaepipe {name}" for name, stage in STAGES.items())


@pytest.mark.parametrize("name", STAGES)
def test_deps_are_what_the_stage_reads_and_the_modules_it_loads(name: str) -> None:
    sources = {
        modules()[module].relative_to(ROOT)
        for module in closure(f"pipeline.stages.{name}")
        if modules()[module].name != "__init__.py"
    }
    if Path("pipeline/report/page.py") in sources:
        sources |= {p.relative_to(ROOT) for p in (ROOT / "pipeline/report").glob("*.html")}
    assert names(STAGES[name]["deps"]) == READS[name] | sources


@pytest.mark.parametrize("name", STAGES)
def test_outs_are_what_the_stage_writes(name: str) -> None:
    stage = STAGES[name]
    written = names(stage["outs"] + stage.get("metrics", []) + stage.get("plots", []))
    assert written == WRITES[name]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_touches_just_its_paths_of_layout(name: str) -> None:
    """Each name of `layout` that a stage's module mentions is under a path that dvc.yaml gives it."""
    source = ast.parse(modules()[f"pipeline.stages.{name}"].read_text())
    mentioned = {
        node.attr
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "layout"
    }
    functions = {
        "raw": layout.raw("train"),
        "archive": layout.archive("train"),
        "channel": layout.channel("red"),
        "model": layout.model("red"),
    }
    paths = {functions.get(name) or getattr(layout, name) for name in mentioned}
    free = {layout.PARAMS}
    given = READS[name] | WRITES[name]
    for path in paths - free:
        if isinstance(path, Path):
            assert any(path.is_relative_to(each) for each in given), path


@pytest.mark.parametrize("name", STAGES)
def test_params_are_what_the_command_hands_to_the_stage(name: str) -> None:
    [function] = [
        node
        for node in ast.parse((ROOT / "pipeline/cli.py").read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    chains = {ast.unparse(n) for n in ast.walk(function) if isinstance(n, ast.Attribute | ast.Name)}
    read = {chain.removeprefix("read.") for chain in chains if chain.startswith("read.")}
    handed = {key for key in read if not any(other.startswith(f"{key}.") for other in read)}
    if "read" in chains and not handed:  # the whole of it
        handed = set(YAML(typ="safe").load(ROOT / "params.yaml"))
    assert set(STAGES[name].get("params", [])) == handed


def test_a_studys_stage_is_its_command_and_what_it_loads() -> None:
    """A stage of `foreach`, over the entries of studies.yaml themselves."""
    [(name, each)] = YAML(typ="safe").load(ROOT / "studies/dvc.yaml")["stages"].items()
    stage = each["do"]
    assert (name, each["foreach"], stage["cmd"]) == ("study", "${studies}", "vaepipe study ${key}")
    sources = {
        modules()[module].relative_to(ROOT)
        for module in closure("pipeline.studies.study")
        if modules()[module].name != "__init__.py"
    }
    pages = {Path("pipeline/studies/index.html"), Path("pipeline/report/style.html")}
    assert names(stage["deps"]) == {layout.CHANNELS} | sources | pages
    written = names(stage["outs"] + stage["metrics"] + stage["plots"])
    folder = layout.study("${key}")
    assert written == {
        folder / f for f in ("results.csv", "summary.json", "metrics.json", "plot.svg", "pictures.png")
    }
    assert stage["params"][:-1] == ["data.validation", "model", "train"]
    assert stage["params"][-1] == {"studies.yaml": ["noise", "studies.${key}", "studies.${noise}"]}


def test_what_survives_dvc_is_ignored_by_git_and_dvc() -> None:
    assert f"/{layout.STATE}/" in (ROOT / ".gitignore").read_text().split()
    assert str(layout.STATE) in (ROOT / ".dvcignore").read_text().split()


def test_a_wheel_carries_the_template_of_a_workspace() -> None:
    import tomllib

    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert set(wheel["force-include"]) == set(workspace.TEMPLATE)
    assert wheel["force-include"] == {name: f"pipeline/template/{name}" for name in workspace.TEMPLATE}
