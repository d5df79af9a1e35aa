"""What imports what, as `pipeline.modules` reads it from the source."""

from pathlib import Path

from pipeline.modules import LAZY, closure, imports
from pipeline.modules import installed as modules

__all__ = ["LAZY", "ROOT", "closure", "imports", "local_imports", "modules"]

ROOT = Path(__file__).parents[1]


def local_imports(module: str) -> set[str]:
    return {name for name in imports(module) if name in modules()}
