"""Leftovers: files of trials that no study or search of today's parameters asks for, found and deleted.

Also studies' results: all trials lie in one folder. It is in this room, since what a search asks for is known
by its journal alone.
"""

import re
from collections.abc import Callable
from pathlib import Path

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError, reason
from pipeline.runs.run_folder import RunFolder
from pipeline.search.state import SearchState
from pipeline.trials import studies_yaml
from pipeline.trials.dataset import TrialData, locked
from pipeline.trials.studies_yaml import StudiesFile
from pipeline.trials.tuner import TrialCompute

# A fit's checkpoints, a result, and what a killed driver left: whatever else is there is somebody's.
NAMES = re.compile(r"[0-9a-f]{16}(-\d{6}\.safetensors)?|session-[0-9a-f]{32}")


def find(studies_file: StudiesFile) -> list[Path]:
    """Results, checkpoints and journals that may go. For whoever holds the trials.

    Raises:
        PipelineError: params.yaml, studies.yaml or the data are wrong or absent.
    """
    defaults = studies_yaml.read_defaults()
    data = TrialData(defaults)
    studies_yaml.check(studies_file, list(studies_file.studies), defaults, yes=True)
    wanted = {trial.fit_key for study in studies_file.studies.values() for trial in data.plan(study)}
    journals = set()
    for search in studies_file.searches.values():
        state = SearchState(search, defaults, data)
        journals.add(state.journal.path)
        wanted |= {state.trial(tried.setting).fit_key for tried in state.journal.tried.values()}
    trials = [path for path in files.entries(paths.trials()) if NAMES.fullmatch(path.name)]
    leftover = [p for p in trials if p.name.split("-")[0].split(".")[0] not in wanted]
    kept = {path for path in files.entries(paths.searches()) if path.suffix == ".jsonl"}
    return sorted(leftover) + sorted(kept - journals)


def size(path: Path) -> int:
    """Bytes of a file, or of all that is in a folder."""
    found = files.below(path) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in found if file.is_file())


def prune(studies_file: StudiesFile, agree: Callable[[list[Path]], bool]) -> list[Path]:
    """Delete what may go, if `agree` says so; return it.

    Raises:
        PipelineError: trials are being run, or something of the workspace is wrong.
    """
    with locked(TrialCompute()):
        unused = find(studies_file)
        if not unused or not agree(unused):
            return []
        for path in unused:
            try:
                if path.is_dir():
                    RunFolder(str(path.parent.absolute()), path.name).delete()
                else:
                    path.unlink(missing_ok=True)
            except OSError as error:
                raise PipelineError(f"{path}: cannot be deleted: {reason(error)}") from None
        return unused
