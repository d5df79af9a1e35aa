"""Files beside the code, and what they say of it: docs, workflows, versions."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from tests.helpers.checkout import ROOT
from tests.helpers.imports import modules

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
# What runs write, and names that stand for a user's own.
NOT_HERE = {"report/index.html", "studies/index.html", "studies/dvc.yaml", ".vaepipe/left-out-train.txt"}
FOLDERS = ("vae", "pipeline", "bench", "tests", "docs", "clusters", ".github")


@pytest.fixture(scope="module")
def files() -> set[str]:
    """Every file of the checkout, by its path from the root and by every end of that path."""
    found = [path for name in FOLDERS for path in (ROOT / name).rglob("*")]
    found += [path for path in ROOT.iterdir() if path.is_file()]
    parts = [path.relative_to(ROOT).parts for path in found]
    return {"/".join(part[start:]) for part in parts for start in range(len(part))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page: Path, files: set[str]) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`([\w./-]+\.(?:py|html|toml|yaml|yml|css|txt|cff))(?:::\w+)?`", text))
    assert named - files - NOT_HERE == set()
    dotted = set(re.findall(r"`((?:vae|pipeline|bench)(?:\.\w+)+)`", text))
    # A module, or a name in one.
    known = {*modules(), *(f"bench.{path.stem}" for path in (ROOT / "bench").glob("*.py"))}
    assert [name for name in dotted if not {name, name.rpartition(".")[0]} & known] == []


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_the_page_on_design_says_what_each_module_of_vae_knows() -> None:
    table = "".join(
        line for line in (ROOT / "docs/design.md").read_text().splitlines() if line.startswith("| `vae/")
    )
    modules = {f"`vae/{path.name}`" for path in (ROOT / "vae").glob("*.py")} - {"`vae/__init__.py`"}
    assert {module for module in modules if module not in table} == set()
    assert "`vae/accept/`" in table


def test_every_target_that_is_named_is_there() -> None:
    for path in (*PAGES, ROOT / ".github/workflows/ci.yml", ROOT / ".ci/run"):
        named = set(re.findall(r"(?:`|run: |PATH\" )make ([a-z-]+)", path.read_text()))
        named |= set(re.findall(r"^    make ([a-z-]+)", path.read_text(), re.MULTILINE))
        assert named <= targets(), path.name


def test_ci_tries_the_versions_of_python_that_are_admitted() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    tried = jobs["test"]["strategy"]["matrix"]["python-version"]
    admitted = SpecifierSet(PROJECT["requires-python"])
    assert tried == [f"3.{minor}" for minor in range(8, 20) if f"3.{minor}" in admitted]


def test_before_a_commit_runs_what_lint_runs() -> None:
    [config] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {
        hook["entry"].removeprefix(".venv/bin/").removesuffix(" --force-exclude") for hook in config["hooks"]
    }
    [recipe] = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    lint = {line.strip().removeprefix("$(BIN)/").removesuffix(" .") for line in recipe.splitlines()}
    assert hooks == lint


def test_versions_agree() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(cited["version"]) == PROJECT["version"]
    [newest, *_] = re.findall(
        r"^## (?:\[Unreleased\] )?\[?([\d.]+)", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert newest == PROJECT["version"]


def test_the_site_has_every_page() -> None:
    config = re.sub(r"^hooks:.*$", "", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    listed = set(re.findall(r": ([\w-]+\.md)$", config, re.MULTILINE))
    ours = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert listed == ours | {"index.md", "contributing.md", "changelog.md"}


def test_a_recipe_names_tests() -> None:
    """Each recipe of CONTRIBUTING.md, and there is one for what people add most."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    recipes = dict(re.findall(r"^\*\*An? ([a-z ]+)\.\*\* ((?:.+\n)+)", text, re.MULTILINE))
    assert recipes.keys() >= {"likelihood", "activation", "source of images", "metric", "stage", "preset"}
    assert all("tests/" in recipe for recipe in recipes.values())
