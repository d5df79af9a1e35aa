"""Journal of a search: a line a trial, appended as it happens, so that nothing is lost however it ends."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError, reason
from pipeline.trials.setting import Setting

# `started` alone: it was interrupted, and goes on. A finished trial's result is with those of all trials.
State = Literal["started", "stopped", "failed", "finished"]


@dataclass
class SearchTrial:
    """One trial of a search."""

    setting: Setting
    state: State = "started"
    costs: dict[int, dict[str, float]] = field(default_factory=dict)  # by epoch and split; of one that ended
    seconds: float = 0.0  # of training, all epochs that it had (see `fitting.FitReport`)
    reason: str = ""  # why it failed

    @property
    def epochs(self) -> int:
        return max(self.costs, default=0)


class Journal:
    """Append-only; a last line that a kill cut off is left out."""

    def __init__(self, key: str) -> None:
        """Read what there is.

        Raises:
            PipelineError: it cannot be read, or a line in the middle is damaged.
        """
        self.path = paths.searches() / f"{key}.jsonl"
        self.tried: dict[str, SearchTrial] = {}  # by setting, in the order in which they were started
        if self.path.exists():
            whole = self._cut()
            for number, line in enumerate(whole.splitlines(), 1):
                try:
                    entry = files.parse_json(line)
                    costs = {int(epoch): costs for epoch, costs in entry.get("costs", {}).items()}
                    self.tried[name(entry["setting"])] = SearchTrial(**entry | {"costs": costs})
                except (ValueError, KeyError, TypeError, AttributeError):
                    raise PipelineError(
                        f"{self.path}: line {number} is damaged; delete it, or the file"
                    ) from None

    def _cut(self) -> str:
        """The file's whole lines; the rest is removed, lest the next line be added to it."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except OSError as error:
            raise files.unreadable(self.path, error) from None
        except UnicodeDecodeError:
            raise PipelineError(f"{self.path}: damaged, no text in UTF-8; delete it") from None
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            files.write_text(self.path, whole)
        return whole

    def write(self, tried: SearchTrial) -> None:
        """Add or update a trial.

        Raises:
            PipelineError: it cannot be written.
        """
        self.tried[name(tried.setting)] = tried
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            left = json.dumps(_entry(tried)).encode() + b"\n"
            # Without a buffer, which would try once more to write what was given up.
            with self.path.open("ab", buffering=0) as file:
                before = file.tell()
                try:
                    while left:
                        left = left[file.write(left) :]
                    os.fsync(file.fileno())
                except OSError:
                    # A line that another one is added to would be damaged in the middle of the file.
                    with suppress(OSError):
                        file.truncate(before)
                    raise
        except OSError as error:
            raise PipelineError(f"{self.path}: cannot be written: {reason(error)}") from error


def _entry(tried: SearchTrial) -> Mapping[str, Any]:
    return {**vars(tried), "setting": dict(tried.setting)}


def name(setting: Setting) -> str:
    """Name of a setting, the same for equal ones."""
    return json.dumps(dict(setting), sort_keys=True)
