"""`vaepipe cluster`: Ray's launcher, with the right settings, and verified."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.common.errors import printable

cluster = typer.Typer(
    no_args_is_help=True, help="A cluster: check its file, start it, see its nodes, take it down."
)

File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="Such as cluster.yaml or clusters/onprem.yaml.", **options.PATH),
]


@cluster.command("check")
def check(file: File) -> None:
    """Check a cluster's file, without a cluster: a line for each problem."""
    from pipeline.cluster import check as rules
    from pipeline.cluster import description

    found = description.read(file)
    problems = rules.problems(found)
    for problem in problems:
        typer.echo(printable(f"{file}: {problem}"), err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{file}: good")
    for line in found.left_open:
        typer.echo(f"  to fill in: {printable(line)}")


@cluster.command("up")
def up(
    file: File,
    wait: Annotated[float, typer.Option(min=1, help="Seconds that nodes have to join.")] = 180.0,
) -> None:
    """Start a cluster, or bring it up to date, and wait for its nodes."""
    from pipeline.cluster import description, operate

    nodes = operate.Cluster(description.read(file), typer.echo).up(wait)
    typer.echo(operate.table(nodes))


@cluster.command("status")
def status(file: File) -> None:
    """List the nodes that are up."""
    from pipeline.cluster import description, operate
    from pipeline.common.errors import PipelineError

    nodes = operate.Cluster(description.read(file), typer.echo).nodes()
    if not nodes:
        raise PipelineError(f"{file}: no cluster is up, or its head does not answer")
    typer.echo(operate.table(nodes))


@cluster.command("down")
def down(file: File) -> None:
    """Take a cluster down; see to it that no Ray is left on machines that stay."""
    from pipeline.cluster import description, operate

    operate.Cluster(description.read(file), typer.echo).down()
    typer.echo(f"{file}: down")
