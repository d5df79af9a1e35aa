"""Findings in the workspace: its files, a user's files where stages write, and who is at work in it."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pipeline.common.errors import PipelineError
from pipeline.data import sources
from pipeline.doctor import dvc_files, machine
from pipeline.doctor.checks import Finding
from pipeline.experiment import guard, params, places, repair, stage_modules
from pipeline.experiment.repair import Fault

CLOSED = "make it readable for this user"  # what to do about what says nothing else


def examine(source: str | None) -> list[Finding]:
    """Findings about the working directory, which is a workspace; `source` None where it is not known."""
    return [
        _whole(list(repair.faults(Path()))),
        *_code(),
        dvc_files.examine(machine.dvc_folder()),
        _free(source),
        _idle(),
    ]


def _whole(faults: Sequence[Fault]) -> Finding:
    if not faults:
        return Finding("ok", "files", "this vaepipe's, and complete")
    stops = any(fault.stops for fault in faults)
    named = "; ".join(fault.what for fault in faults)
    return Finding("problem" if stops else "warning", "files", named, "`vaepipe init .` mends it")


def _code() -> list[Finding]:
    """Finding of a checkout: whether its code is what runs."""
    if not repair.is_checkout(Path()):
        return []
    if Path.cwd().resolve() == stage_modules.ROOT:
        return [Finding("ok", "code", "this checkout's")]
    return [
        Finding(
            "warning",
            "code",
            f"{stage_modules.ROOT} runs, not this checkout",
            "`pip install -e .` changes that",
        )
    ]


def _free(source: str | None) -> Finding:
    """Whether stages can write without removing anything of a user's."""
    try:
        if source and sources.is_local(source):
            places.check_source(sources.path_of(source))
        places.check_folders()
        if not _downloaded():
            places.check_sums()
    except PipelineError as error:
        found, _, advice = str(error).rpartition("; ")
        return Finding("problem", "outs", found or advice, advice if found else CLOSED)
    return Finding("ok", "outs", "nothing of yours is in their places")


def _downloaded() -> bool:
    """Whether DVC knows what is in data/raw, so that nothing is downloaded as long as nothing changes."""
    found = None
    with suppress(PipelineError):  # which is a finding of its own
        found = params.load(dvc_files.LOCK) if dvc_files.LOCK.is_file() else None
    return isinstance(found, dict) and "download" in (found.get("stages") or {})


def _idle() -> Finding:
    try:
        running = guard.running()
    except PipelineError as error:
        return Finding("problem", "at work", str(error), CLOSED)
    if running:
        named = ", ".join(f"`vaepipe {name}` as {holder}" for name, holder in running.items())
        return Finding("problem", "at work", f"{named} runs here", "wait for it, or end it")
    return Finding("ok", "at work", "nobody else")
