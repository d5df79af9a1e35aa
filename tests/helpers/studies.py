"""Studies for tests: the defaults, and studies.yaml as it is checked."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from pipeline.common import paths
from pipeline.experiment import params
from pipeline.trials import planning, studies_yaml
from pipeline.trials.planning import Trial
from pipeline.trials.studies_yaml import Defaults, Study
from tests.helpers.checkout import ROOT

BASE: dict[str, Any] = YAML(typ="safe").load(ROOT / "params.yaml")


def defaults(values: dict[str, Any]) -> Defaults:
    return Defaults(values, params.check(values, Path("params.yaml")))


def check(names: list[str], *, yes: bool = False) -> list[Study]:
    return studies_yaml.check(studies_yaml.read(), names, studies_yaml.read_defaults(), yes=yes)


def declare(study: str, *, noise: str = "seeds", rest: str = "") -> None:
    """Write a studies.yaml with a study called mine."""
    text = f"noise: {noise}\nstudies:\n  seeds: {{vary: {{train.seed: [0, 1]}}}}\n  mine: {study}\n{rest}"
    paths.STUDIES_YAML.write_text(text)


def trials_of(*settings: dict[str, Any], base: dict[str, Any] = BASE, data: bytes = b"") -> list[Trial]:
    return planning.trials(defaults(base), settings, data, "here")
