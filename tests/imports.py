"""What imports what, read from the source."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("vae", "pipeline")
# What a package hands out when it is asked for, and from where. It counts for who asks, not for the package.
LAZY = {"vae": {"load": "vae.pretrained"}}


@cache
def modules() -> dict[str, Path]:
    """The project's modules by dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str) -> frozenset[str]:
    """All that a module imports: the project's modules by full name, others by their top name."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{module}: relative import"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {name for name in inner if name in modules()}
            handed = LAZY.get(node.module, {})
            known |= {handed[alias.name] for alias in node.names if alias.name in handed}
            found |= known or {node.module}
    return frozenset(name if name in modules() else name.split(".")[0] for name in found)


def local_imports(module: str) -> set[str]:
    return {name for name in imports(module) if name in modules()}


def closure(module: str) -> set[str]:
    """The project's modules that are loaded with a module: what it imports, and what those import.

    A package imports nothing by itself (see `LAZY`).
    """
    reached: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += local_imports(name) if name not in LAZY else ()
    return reached
