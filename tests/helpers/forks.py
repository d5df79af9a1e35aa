"""The command line in a fork of this process, which has loaded all that it needs."""

import os
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """What came of a command."""

    status: int  # negative: killed by a signal
    out: str
    err: str
    usage: resource.struct_rusage


def run(
    main: Callable[[], None], arguments: Sequence[str], before: Callable[[], None] = lambda: None
) -> Ended:
    """Run a command. `main` is the command line's entry point; `before` is called in the fork, first."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = ["vaepipe", *arguments]
            before()
            status = 70
            try:
                main()
            except SystemExit as done:
                status = int(done.code or 0)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, waited, usage = os.wait4(child, 0)
        out.seek(0)
        err.seek(0)
        return Ended(os.waitstatus_to_exitcode(waited), out.read(), err.read(), usage)
