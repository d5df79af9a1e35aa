"""What was found so far: a line each as it is found, and all of it as JSON."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORDS = {True: "ok", False: "FAIL", None: "skip"}


@dataclass
class Findings:
    """Checks and figures of one device."""

    file: Path | None = None  # where they are written after each section
    found: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, name: str, holds: bool | None = True, **figures: Any) -> None:
        """Print and keep one; `holds` None: it could not be found here."""
        self.found.append({"check": name, "ok": holds, **figures})
        print(f"{WORDS[holds]:<5} {name:<52} {_in_a_line(figures)}".rstrip(), flush=True)

    def write(self) -> None:
        """Write what there is so far, whole or not at all."""
        if self.file is not None:
            part = self.file.with_name(f"{self.file.name}.part")
            part.write_text(json.dumps(self.found, indent=1) + "\n")
            part.replace(self.file)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def failed(self) -> list[str]:
        return [finding["check"] for finding in self.found if finding["ok"] is False]


def _in_a_line(figures: dict[str, Any]) -> str:
    return "  ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{n} {v}" for n, v in figures.items())
