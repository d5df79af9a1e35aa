"""What imports what, as `pipeline.experiment.stage_modules` reads it from the source."""

from pipeline.experiment.stage_modules import LAZY, closure, imports
from pipeline.experiment.stage_modules import installed as modules

__all__ = ["LAZY", "closure", "imports", "local_imports", "modules"]


def local_imports(module: str) -> set[str]:
    return {name for name in imports(module) if name in modules()}
