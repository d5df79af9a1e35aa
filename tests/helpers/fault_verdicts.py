"""How runs came out whose calls failed."""

import hashlib
import re
import signal
import stat
from pathlib import Path

from tests.helpers.failing_calls import KILL, Run, contents, differences

BAD = "BAD"  # how what is not good begins
WORDS = ("right", "one line", "killed")  # what is good
Found = dict[str, bytes | None]  # by path; None of folders

MOST_MEGABYTES = 1024
# Seconds without a word, besides those of an undisturbed run: after 10 s it is said what is waited for.
MOST_SILENCE = 12.0
OWNER = re.compile(r"([0-9a-f]{8}-\d+|[0-9a-f]{32})(?=\.part)")  # who wrote a partial file, or when


def hangs(ran: Run, quiet: float) -> str:
    """What is bad about the time that a run took; empty where nothing is.

    `quiet`: seconds in which an undisturbed run says nothing, as while it starts and loads its libraries.
    """
    if ran.status == -signal.SIGALRM:
        return "hangs"
    return f"says nothing for {ran.silence:.0f} s" if ran.silence > quiet + MOST_SILENCE else ""


def verdict(ran: Run, error: str, before: Found, after: Found, right: Found) -> str:
    """How a run that ended in time came out: a word; or what is bad about it, beginning with BAD."""
    if ran.megabytes > MOST_MEGABYTES:
        return f"{BAD} takes {ran.megabytes} MiB"
    if ran.status == -signal.SIGKILL:
        return "killed" if error == KILL else f"{BAD} died"
    if ran.status == 0:
        # What it could not remove is the next run's to remove.
        left = {name: data for name, data in after.items() if ".part" not in name}
        found = differences(left, right)
        return f"{BAD} said nothing, but differs: {found}" if found else "right"
    lines = [line for line in ran.said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    if "Traceback" in ran.said or len(errors) != 1 or lines[-1] != errors[0] or ran.status != 1:
        return f"{BAD} status {ran.status}, said {ran.said[-600:]!r}"
    if found := untrue(errors[0], before, after):
        return f"{BAD} not so, changed are {found}: {errors[0]}"
    return "one line"


def untrue(error: str, before: Found, after: Found) -> str:
    """What has changed of what an error says has not."""
    if "nothing was changed" in error:
        return differences(litterless(after), litterless(before))
    if error.endswith("it is as it was"):
        name = error.removeprefix("error: ").partition(":")[0]
        return differences(*(litterless(of(name, each)) for each in (after, before)))
    return ""


def of(name: str, found: Found) -> Found:
    """What is at a path, or below it."""
    return {path: data for path, data in found.items() if path == name or path.startswith(f"{name}/")}


def litterless(found: Found) -> Found:
    """Without what the next run removes, folders that were made on the way, and the state."""
    return {
        name: data
        for name, data in found.items()
        if not name.endswith(".part") and data is not None and not name.startswith(".vaepipe/")
    }


def state(folder: Path) -> str:
    """All that the next run can depend on: names, kinds and rights, and contents, as a checksum.

    Of a partial file it is left out which process wrote it: that has ended, whichever it was.
    """
    found = hashlib.sha256()
    for name, data in contents(folder, all_folders=True).items():
        rights = stat.S_IMODE((folder / name).lstat().st_mode)
        found.update(f"{OWNER.sub('', name)}\0{rights}\0{-1 if data is None else len(data)}\0".encode())
        found.update(data or b"")
    return found.hexdigest()
