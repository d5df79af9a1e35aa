"""Print the lowest version of each dependency that pyproject.toml admits, as constraints for pip."""

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def lowest(pyproject: str) -> list[str]:
    """Lines such as `numpy==2.0`, one for each package with a lower bound or an exact version."""
    table = tomllib.loads(pyproject)
    extras = table["project"]["optional-dependencies"]
    lists = (table["project"]["dependencies"], *extras.values(), *table["dependency-groups"].values())
    named = (re.match(r"([\w.-]+)(?:\[.*\])?[>=]=([\w.]+)", text) for names in lists for text in names)
    return sorted({f"{match[1]}=={match[2]}" for match in named if match})


if __name__ == "__main__":
    print("\n".join(lowest(PYPROJECT.read_text(encoding="utf-8"))))
