"""The one exception that people are meant to read."""


class PipelineError(Exception):
    """Something the user can mend. The message is one line: what, where, expected, found, what to do.

    The command line prints it without a traceback and exits with status 1.
    """
