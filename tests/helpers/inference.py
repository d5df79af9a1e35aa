"""Commands that use trained models, called in this process."""

from pathlib import Path

from typer.testing import CliRunner

from pipeline.cli import main as cli
from pipeline.common.errors import PipelineError


def run(*arguments: object) -> tuple[int, str]:
    """A command's exit status, and what it says: its output, or its error."""
    done = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if isinstance(done.exception, PipelineError):
        return done.exception.status, str(done.exception)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def refused(*arguments: object) -> str:
    """What is said, in one line, by a command that writes nothing."""
    before = sorted(Path().rglob("*"))
    status, said = run(*arguments)
    assert status == 1, said
    assert said.isprintable()
    assert sorted(Path().rglob("*")) == before
    return said


# What is refused
Z = ("-o", "z.h5")


G = ("-o", "g.png")
