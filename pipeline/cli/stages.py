"""The commands that `dvc repro` calls, one a stage: each reads params.yaml and hands over what is needed."""

from typing import Annotated

import typer

from pipeline.cli import options


def prepare() -> None:
    """See that nothing of yours is in the way of what stages write; note which code they run."""
    from pipeline.experiment import params
    from pipeline.stages import prepare as stage

    stage.run(params.read().data.source)


def download() -> None:
    """Get the images: SVHN's files, generated house numbers, or your own pictures."""
    from pipeline.experiment import guard, params
    from pipeline.stages import download as stage

    with guard.stage("download"):
        read = params.read()
        data = stage.DownloadConfig(
            source=read.data.source,
            format=read.data.format,
            extra=read.data.extra,
            size=read.data.size,
            frames=read.data.frames,
            white_level=read.data.white_level,
            test=read.data.test,
        )
        stage.run(data, read.synthetic)


def convert() -> None:
    """Convert the source's files to one HDF5 file; crop the digits of full numbers."""
    from pipeline.experiment import guard, params
    from pipeline.stages import convert as stage

    with guard.stage("convert"):
        read = params.read()
        stage.run(read.data.size, read.data.margin, read.data.neighbours)


def split() -> None:
    """Split the images into one HDF5 file a colour channel."""
    from pipeline.experiment import guard
    from pipeline.stages import split as stage

    with guard.stage("split"):
        stage.run()


def classifier() -> None:
    """Train a classifier that reads a conditional model's samples; nothing to do for other models."""
    from pipeline.experiment import guard, params
    from pipeline.stages import classifier as stage

    with guard.stage("classifier"):
        read = params.read()
        stage.run(read.model.conditional, read.data.validation, read.train.seed)


def train(
    gpus: options.Gpus = "auto",
    workers: Annotated[
        int | None,
        typer.Option(envvar="VAEPIPE_WORKERS", min=1, help="CPU ranks. Default: one for each component."),
    ] = None,
    storage: options.Storage = None,
    address: options.Address = None,
    max_failures: options.MaxFailures = options.MAX_FAILURES,
    checkpoint_seconds: options.CheckpointSeconds = options.CHECKPOINT_SECONDS,
) -> None:
    """Fit the components' models on the machines that there are. They do not change the answer."""
    ranks_with_gpu = options.gpus(gpus)
    from pipeline.distributed.compute import Compute
    from pipeline.experiment import guard, params
    from pipeline.stages import train as stage

    compute = Compute(
        gpus=ranks_with_gpu,
        workers=workers,
        storage=storage,
        address=address,
        max_failures=max_failures,
        checkpoint_seconds=checkpoint_seconds,
    )
    with guard.stage("train"):
        read = params.read()
        stage.run(read.data.validation, read.model, read.train, compute)


def merge() -> None:
    """Reconstruct the test images, merge the channels, write the metrics and the report."""
    from pipeline.experiment import guard, params
    from pipeline.stages import merge as stage

    with guard.stage("merge"):
        read = params.read()
        stage.run(read)
