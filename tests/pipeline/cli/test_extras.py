"""What each extra brings, and what people read where one is missing."""

import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pipeline.cli import extras, main
from pipeline.common.errors import PipelineError
from tests.helpers.imports import closure, imports, modules

RUN_BY_NAME = {"dvc"}


def distributions(names: set[str]) -> set[str]:
    """The distributions of ours and others' top modules, the standard library's left out."""
    of_module = metadata.packages_distributions()
    found = {name for name in names if name not in modules() and name not in sys.stdlib_module_names}
    return {canonicalize_name(of_module[name][0]) for name in found}


def declared(extra: str) -> set[str]:
    return {canonicalize_name(name) for name in extras.required(extra)}


def test_commands_for_trained_models_import_what_comes_without_extras() -> None:
    loaded = {name for module in closure("pipeline.cli.models") for name in imports(module)}
    # SVHN's own .mat files need more, and a line says so.
    assert distributions(loaded) - {"scipy"} == declared(extras.BASE)


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    imported = distributions({name for module in modules() for name in imports(module)})
    assert imported | RUN_BY_NAME == declared(extras.SEARCH)
    assert declared(extras.SEARCH) - declared(extras.PIPELINE) == {"optuna"}
    of_search = {module for module in modules() if "optuna" in imports(module)}
    assert {module.split(".")[1] for module in of_search} == {"search"}


def test_extras_are_those_of_pyproject() -> None:
    listed = [Requirement(text) for text in metadata.requires("vaepipe") or []]
    for extra in metadata.metadata("vaepipe").get_all("Provides-Extra") or []:
        brought = {r.name for r in listed if r.marker is None or r.marker.evaluate({"extra": extra})}
        assert set(extras.required(extra)) == brought


@pytest.mark.parametrize(
    ("absent", "arguments", "said"),
    [
        ({"optuna"}, ["tune"], "not installed: optuna; run pip install 'vaepipe[search]'"),
        ({"ray", "dvc"}, ["train"], "not installed: dvc, ray; run pip install 'vaepipe[pipeline]'"),
        (
            {"ray"},
            ["cluster", "check", "cluster.yaml"],
            "not installed: ray; run pip install 'vaepipe[pipeline]'",
        ),
        ({"ray"}, ["preset", "list"], "not installed: ray; run pip install 'vaepipe[pipeline]'"),
        ({"torch"}, ["sample", "-o", "a.png"], "not installed: torch; run pip install vaepipe"),
    ],
)
def test_a_missing_package_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    absent: set[str],
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(extras, "_is_installed", lambda name: name not in absent)
    monkeypatch.setattr(sys, "argv", ["vaepipe", *arguments])
    monkeypatch.delitem(sys.modules, "ray", raising=False)  # with it, the command would end this process
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", f"error: {said}\n")


def test_other_commands_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_is_installed", lambda name: name not in {"ray", "dvc", "optuna"})
    extras.check(extras.BASE)
    with pytest.raises(PipelineError, match="dvc, ray"):
        extras.check(extras.PIPELINE)


def test_without_an_installation_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the checkout is on PYTHONPATH: there is no list of what is needed."""
    monkeypatch.setattr(extras, "_is_installed", lambda _: False)
    extras.check(extras.SEARCH)
