"""`vaepipe preset`: parameters for a purpose."""

import typer

presets = typer.Typer(no_args_is_help=True, help="Parameters for a purpose: list, show, apply.")


@presets.command("list")
def preset_list() -> None:
    """Name the presets: what each is for, and what it reached on a slice of SVHN."""
    from pipeline.experiment import presets as shelf

    for name, preset in shelf.PRESETS.items():
        typer.echo(f"{name:<12} {preset.purpose}\n{'':<12} {preset.measured}")


@presets.command("show")
def preset_show(name: str) -> None:
    """Show a preset's parameters, as they stand in params.yaml once it is applied."""
    from pipeline.experiment import presets as shelf

    typer.echo(shelf.shown(name))


@presets.command("apply")
def preset_apply(name: str) -> None:
    """Write a preset into params.yaml: the model and how it is trained. Data, seed and precision stay."""
    from pipeline.experiment import guard
    from pipeline.experiment import presets as shelf

    shelf.find(name)
    guard.check_idle()
    changed = shelf.apply(name)
    typer.echo(f"params.yaml: {', '.join(changed) or 'nothing changed'}")
