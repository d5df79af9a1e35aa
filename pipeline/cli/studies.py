"""The commands that compare trainings: `study`, `studies`, `tune`."""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options

if TYPE_CHECKING:
    from pipeline.trials.studies_yaml import StudiesFile
    from pipeline.trials.tuner import TrialCompute

PerGpu = Annotated[
    int, typer.Option(envvar="VAEPIPE_PER_GPU", min=1, help="Trials that share a GPU at a time.")
]
Workers = Annotated[
    int | None,
    typer.Option(
        envvar="VAEPIPE_TRIALS",  # with `train` --workers are something else: ranks of one training
        min=1,
        help="Trials at a time on CPUs. Default: as many as there are cores for.",
    ),
]
Threads = Annotated[int, typer.Option(envvar="VAEPIPE_THREADS", min=1, help="CPU cores of a trial.")]


def study(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...")] = None,
    every: Annotated[bool, typer.Option("--all", help="Run all that studies.yaml declares.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Also run a study of more than 1,000 trials.")] = False,
    dvc: Annotated[bool, typer.Option("--dvc", help="Run it as a stage, of which DVC keeps track.")] = False,
    gpus: options.Gpus = "auto",
    per_gpu: PerGpu = 2,
    workers: Workers = None,
    threads: Threads = 1,
    storage: options.Storage = None,
    address: options.Address = None,
    max_failures: options.MaxFailures = options.MAX_FAILURES,
    checkpoint_seconds: options.CheckpointSeconds = options.CHECKPOINT_SECONDS,
) -> None:
    """Run studies of studies.yaml: train every setting once, and compare them, also with chance.

    Results go to studies/NAME, and a page of all to studies/index.html. What has finished never runs again;
    an interrupted study goes on by the same command.
    """
    options.gpus(gpus)  # what is no number is refused before anything is loaded
    from pipeline.experiment import guard
    from pipeline.trials import studies_yaml

    if bool(names) == every:
        raise typer.BadParameter("name studies, or give --all; `vaepipe studies` lists them")
    studies_file = studies_yaml.read()
    asked = list(dict.fromkeys(names or studies_file.studies))
    if dvc:
        from pipeline.studies import dvc_stages

        studies_yaml.check(studies_file, asked, studies_yaml.read_defaults(), yes=yes)
        dvc_stages.run(asked, studies_file, **_variables(context))
        return
    with guard.command(
        "study", guard.trials(*(f"studies.{name}" for name in (*asked, studies_file.noise.name)))
    ):
        defaults = studies_yaml.read_defaults()
        chosen = studies_yaml.check(studies_file, asked, defaults, yes=yes)
        from pipeline.studies import run as runner

        runner.run(studies_file, chosen, defaults, _compute(context))


def _compute(context: typer.Context) -> "TrialCompute":
    """The options of a command that say where to compute. They are called as the fields are."""
    from pipeline.trials.tuner import TrialCompute

    given = {field.name: context.params[field.name] for field in fields(TrialCompute)}
    return TrialCompute(**given | {"gpus": options.gpus(given["gpus"])})


def _variables(context: typer.Context) -> dict[str, str]:
    """The options of a command that stand for environment variables, as those."""
    given = {}
    for option in context.command.params:
        value, names = context.params.get(str(option.name)), option.envvar
        if value is not None and names:
            given[names if isinstance(names, str) else names[0]] = str(value)
    return given


def studies(
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what trials left that nothing declared asks for any more.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
) -> None:
    """List the studies and searches of studies.yaml: what they ask, how many trials, and whether they ran."""
    from pipeline.common import paths
    from pipeline.common.errors import printable
    from pipeline.report import studies_page
    from pipeline.trials import studies_yaml

    studies_file = studies_yaml.read()
    width = max(map(len, studies_file.names()))
    for name, declared in studies_file.studies.items():
        ran = "ran" if (paths.study(name) / studies_page.SUMMARY).exists() else ""
        typer.echo(
            f"{name:<{width}}  {len(declared.settings):>3} trials  {ran:<4} {printable(declared.question)}"
        )
    for name, search in studies_file.searches.items():
        ran = "ran" if (paths.study(name) / studies_page.SUMMARY).exists() else ""
        typer.echo(
            f"{name:<{width}}  {search.trials:>3} trials  {ran:<4} search over {', '.join(search.space)}"
        )
    if (paths.STUDIES / studies_page.NAME).exists():
        typer.echo(f"\nWhat has run: {paths.STUDIES / studies_page.NAME}")
    if prune:
        _prune(studies_file, yes)


def _prune(studies_file: "StudiesFile", yes: bool) -> None:
    from rich.filesize import decimal

    from pipeline.search import leftovers

    def amount(unused: list[Path]) -> str:
        return f"{len(unused)} results and checkpoints, {decimal(sum(map(leftovers.size, unused)))}"

    def agree(unused: list[Path]) -> bool:
        question = f"Delete {amount(unused)}, that no study or search of today's parameters asks for?"
        return yes or typer.confirm(question, abort=True)

    deleted = leftovers.prune(studies_file, agree)
    typer.echo(f"deleted {len(deleted)}" if deleted else "nothing to delete")


def tune(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A search of studies.yaml.")] = "default",
    apply: Annotated[bool, typer.Option("--apply", help="Write what was found into params.yaml.")] = False,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Trials in all, other than studies.yaml says.")
    ] = None,
    gpus: options.Gpus = "auto",
    per_gpu: PerGpu = 2,
    workers: Workers = None,
    threads: Threads = 1,
    storage: options.Storage = None,
    address: options.Address = None,
    max_failures: options.MaxFailures = options.MAX_FAILURES,
    checkpoint_seconds: options.CheckpointSeconds = options.CHECKPOINT_SECONDS,
) -> None:
    """Search for better parameters, judged on the validation images; bad trials are stopped early."""
    options.gpus(gpus)  # what is no number is refused before anything is loaded
    from pipeline.experiment import guard
    from pipeline.trials import studies_yaml

    if apply:
        _check_applicable()
    with guard.command("tune", guard.trials(f"searches.{name}")):
        studies_file, defaults = studies_yaml.read(), studies_yaml.read_defaults()
        search = studies_file.search(name)
        search = search if trials is None else replace(search, trials=trials)
        studies_yaml.check_search(search, defaults)
        from pipeline.search import run as runner

        best = runner.run(search, defaults, _compute(context), studies_file.names())
    if apply:
        # The search itself is found again at once, should something run now.
        _check_applicable()
        runner.apply(best)


def _check_applicable() -> None:
    from pipeline.common import paths
    from pipeline.experiment import guard, yaml_file

    guard.check_idle()
    yaml_file.check_writable(paths.PARAMS)
