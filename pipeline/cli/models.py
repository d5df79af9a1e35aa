"""Commands that use trained models: `encode`, `decode`, `reconstruct`, `sample`, `interpolate`.

No DVC and no Ray: all they need is a folder of models.
"""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options
from pipeline.common.image_limits import Frames

MOST_SHOWN = 1_000  # pictures in a grid

Models = Annotated[
    Path,
    typer.Option("--models", metavar="DIR", help="The trained models.", **options.PATH),
]
Device = Annotated[
    str | None, typer.Option(help="Such as cpu or cuda:1. Default: a GPU where there is one, else the CPU.")
]
Pictures = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGES...",
        help="Pictures, folders of them, or one .npz, .mat or HDF5 file: data/svhn.h5.",
        **options.PATH,
    ),
]
Split = Annotated[str | None, typer.Option(help="Of an .npz or HDF5 file. Default: test, or the only one.")]
Digit = Annotated[str | None, typer.Option(metavar="NAME", help="The class that a model is told.")]
FramesOption = Annotated[Frames, typer.Option("--frames", help="Of a file with several: refuse, or take.")]
WhiteLevel = Annotated[
    int | None,
    typer.Option(min=1, help="The number that is white, as data.white_level."),
]
Png = Annotated[
    Path,
    typer.Option("--out", "-o", metavar="FILE.png", help="The picture to write.", **options.PATH),
]
Shown = Annotated[int, typer.Option("--count", "-n", min=1, max=MOST_SHOWN, help="Pictures, at most.")]

MODELS = Path("models")


def encode(
    images: Pictures,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE.h5", help="The latent file to write.", **options.PATH),
    ],
    models: Models = MODELS,
    bits: Annotated[int, typer.Option(metavar="16|8", help="Of each number. 8 take twice as long.")] = 16,
    split: Split = None,
    digit: Digit = None,
    frames: FramesOption = "one",
    white_level: WhiteLevel = None,
    device: Device = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Encode pictures to a small file of latents; say how small it is, and how near it comes."""
    if bits not in (16, 8):
        raise typer.BadParameter(f"{bits} is neither 16 nor 8", param_hint="--bits")
    from pipeline.inference import codec, inputs, outputs

    outputs.check_file(out, ".h5", images, replace=force)
    model = inputs.models(models, device)
    with inputs.source(images, model, split, frames=frames, white_level=white_level) as source:
        done = codec.encode(source, source.condition_labels(model, digit), model, bits, out)
    typer.echo(
        f"{out}: {done.pictures:,} pictures, {done.before:,} bytes -> {done.after:,} bytes, "
        f"{done.before / done.after:.1f} times as small; PSNR {done.psnr:.2f} dB"
    )


def decode(
    latents: Annotated[
        Path,
        typer.Argument(metavar="FILE.h5", help="What `vaepipe encode` wrote.", **options.PATH),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="DIR", help="A new folder, or an empty one.", **options.PATH),
    ],
    models: Models = MODELS,
    device: Device = None,
) -> None:
    """Decode a latent file to PNGs, by the models that it was made with."""
    from pipeline.inference import codec, inputs

    count = codec.decode(latents, inputs.models(models, device), out)
    typer.echo(f"{out}: {count:,} pictures")


def reconstruct(
    images: Pictures,
    out: Png,
    models: Models = MODELS,
    count: Shown = 64,
    split: Split = None,
    digit: Digit = None,
    frames: FramesOption = "one",
    white_level: WhiteLevel = None,
    device: Device = None,
) -> None:
    """Draw pictures, each above its reconstruction."""
    from pipeline.inference import inputs, outputs
    from pipeline.inference.pictures import reconstructions

    outputs.check_picture(out, images)
    model = inputs.models(models, device)
    with inputs.source(images, model, split, count, frames=frames, white_level=white_level) as source:
        reconstructions(source, source.condition_labels(model, digit), model, out)
        typer.echo(f"{out}: {len(source):,} pictures, each above its reconstruction")


def sample(
    out: Png,
    models: Models = MODELS,
    count: Shown = 64,
    digit: Digit = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws. 0: those of the report.")] = 0,
    device: Device = None,
) -> None:
    """Draw samples of the models: pictures that nobody took. Conditional models draw each digit in turn."""
    from pipeline.inference import inputs, outputs
    from pipeline.inference.pictures import samples

    outputs.check_picture(out)
    model = inputs.models(models, device)
    samples(model, count, seed, None if digit is None else inputs.check_digit(model, digit), out)
    typer.echo(f"{out}: {count:,} samples")


def interpolate(
    first: Annotated[Path, typer.Argument(metavar="A", help="A picture.", **options.PATH)],
    last: Annotated[Path, typer.Argument(metavar="B", help="Another.", **options.PATH)],
    out: Png,
    models: Models = MODELS,
    steps: Annotated[int, typer.Option(min=2, max=1000, help="Pictures on the way, the ends included.")] = 9,
    digit: Digit = None,
    device: Device = None,
) -> None:
    """Draw the way from one picture to another, through the latent space."""
    from pipeline.inference import inputs, outputs
    from pipeline.inference.pictures import interpolation

    outputs.check_picture(out, [first, last])
    model = inputs.models(models, device)
    source = inputs.pair(first, last, model)
    interpolation(source, source.condition_labels(model, digit), model, steps, out)
    typer.echo(f"{out}: {steps} pictures on the way from {first} to {last}")
