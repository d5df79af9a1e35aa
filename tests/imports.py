"""What imports what, as `pipeline.experiment.stage_modules` reads it from the source."""

from pathlib import Path

from pipeline.experiment.stage_modules import LAZY, closure, imports
from pipeline.experiment.stage_modules import installed as modules

__all__ = ["LAZY", "ROOT", "closure", "imports", "local_imports", "modules"]

ROOT = Path(__file__).parents[1]


def local_imports(module: str) -> set[str]:
    return {name for name in imports(module) if name in modules()}
