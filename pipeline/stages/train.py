"""train: fit every component's model on the ranks that there are, and keep what they learned."""

import csv
import io
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from pipeline.common import files, machine_limits, paths
from pipeline.common.errors import Interrupted, PipelineError
from pipeline.common.progress import console
from pipeline.data import images
from pipeline.data.images import Images
from pipeline.distributed import placement
from pipeline.distributed.compute import Compute
from pipeline.experiment import places
from pipeline.runs import identity
from pipeline.runs.checkpoints import Checkpoints
from pipeline.runs.storage_lock import Check
from vae.baseline import entropy_floor
from vae.config import ModelConfig, Sizes, TrainConfig
from vae.likelihood import LIKELIHOODS
from vae.metrics import EpochMetrics
from vae.modelfile import save_model
from vae.stack import TrainingState


def run(validation: float, model: ModelConfig, train: TrainConfig, compute: Compute) -> None:
    """Read data/channels, write models/, metrics/train.json and plots/training.csv.

    Raises:
        PipelineError: the data, the request or the training failed; checkpoints are kept.
    """
    places.check_folders([paths.MODELS])
    machine_limits.share_threads()
    components = paths.components(model.channels)
    training, held_out = images.load_training(components, validation)
    if len(training) < train.batch_size:
        raise PipelineError(
            f"{paths.PARAMS}: train.batch_size is {train.batch_size}, "
            f"more than the {len(training)} training images"
        )
    splits = {"train": training} | ({"validation": held_out} if len(held_out) else {})
    classes = images.known_classes(training) if model.conditional else None
    labels = {name: classes.places(split, name) if classes else None for name, split in splits.items()}
    if classes:
        images.check_test_labels(classes)
    sizes = images.sizes(training, classes)
    floors = _floors(splits, model)
    name = identity.run_hash(training, held_out, model, train)
    storage = paths.run_storage(compute.storage)
    with ExitStack() as held:
        checks = [held.enter_context(identity.locked(storage, name))]
        checkpoints = _choose(storage, name, components, train.epochs)
        if checkpoints.run != name:
            checks.append(held.enter_context(identity.locked(storage, checkpoints.run)))
        checkpoints.tidy()
        checkpoints.describe(
            components=components, model=asdict(model), train=asdict(train), images=len(training)
        )
        if checkpoints.latest() < train.epochs:
            _fit(splits, labels, sizes, model, train, compute, checkpoints, checks)
        else:
            console.print(f"run {checkpoints.run} is at epoch {train.epochs} already: nothing to train")
        for check in checks:
            check()
        states = [checkpoints.load(train.epochs, component) for component in components]
        _write(states, list(splits), floors)
        made = {files.md5(paths.model(component)) for component in components}
        checkpoints.describe(models=sorted(made | set(checkpoints.about().get("models", ()))))


def _floors(splits: dict[str, Images], model: ModelConfig) -> dict[tuple[str, str], float]:
    """Entropy floors by component and split, nats an image; none for a density, which has no floor."""
    if LIKELIHOODS[model.likelihood].density:
        return {}
    return {
        (component, name): entropy_floor(torch.from_numpy(array))
        for name, split in splits.items()
        for component, array in split.pixels.items()
    }


def _choose(storage: str, name: str, components: tuple[str, ...], epochs: int) -> Checkpoints:
    """The run to go on with. One that went further is left alone, and a shorter one set beside it."""
    for run in (name, f"{name}-{epochs}-epochs"):
        checkpoints = Checkpoints(storage, run, components)
        if checkpoints.latest() <= epochs:
            return checkpoints
    raise PipelineError(f"{storage}/{run}: holds more than the {epochs} epochs in its name; delete it")


def _fit(
    splits: dict[str, Images],
    labels: dict[str, np.ndarray | None],
    sizes: Sizes,
    model: ModelConfig,
    train: TrainConfig,
    compute: Compute,
    checkpoints: Checkpoints,
    checks: Sequence[Check],
) -> None:
    """Train to the last epoch, on Ray; `splits` hold no pixels afterwards."""
    # Ray takes seconds to import; a run that is finished needs none of it.
    from pipeline.distributed import ray_session, trainer
    from pipeline.distributed.split_refs import move_images
    from pipeline.distributed.view import TrainingView
    from pipeline.distributed.worker import RankConfig

    started = time.monotonic()
    with (
        _environment(),
        checkpoints.marked() as mark,
        ray_session.connected(compute.address, checks) as session,
    ):
        offer = ray_session.cluster_resources(session)
        request = placement.request_ranks(checkpoints.components, offer, compute.gpus, compute.workers)
        if request.plan.unused:
            console.print(
                f"{request.plan.unused} of the ranks asked for have nothing to do and are not started"
            )
        if notice := placement.autoscaler_notice(request, offer, ray_session.start_seconds()):
            console.print(notice)
        refs = move_images(splits, labels)
        config = RankConfig(
            run=checkpoints.run,
            storage=checkpoints.storage,
            mark=mark,
            components=checkpoints.components,
            sizes=sizes,
            model=model,
            train=train,
            splits=refs,
            checkpoint_seconds=compute.checkpoint_seconds,
            status=None,
        )
        try:
            with TrainingView(checkpoints.run, request, train.epochs, compute.max_failures) as view:
                trainer.train(config, request, compute.max_failures, view.show, session)
        except KeyboardInterrupt:
            raise Interrupted(_interrupted(checkpoints)) from None
    seconds = round(time.monotonic() - started, 1)
    checkpoints.write_json("timing.json", {"seconds": seconds, "placement": str(request.plan)})


def _interrupted(checkpoints: Checkpoints) -> str:
    run, epoch = checkpoints.run, checkpoints.latest()
    if not epoch:
        return f"interrupted: run {run} has no checkpoint yet; the same command starts it anew"
    return (
        f"interrupted: run {run} keeps its checkpoint of epoch {epoch}; the same command goes on from there"
    )


@contextmanager
def _environment() -> Iterator[None]:
    """Ranks import what the driver imports, also from a workspace whose folder is not on the path."""
    package_root = str(Path(__file__).parents[2])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root, before]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _write(
    states: Sequence[TrainingState], splits: Sequence[str], floors: dict[tuple[str, str], float]
) -> None:
    """Write the stage's outs, from the final states alone: the same however often the run was resumed."""
    places.check_folders([paths.MODELS])  # once more, after hours perhaps
    with files.atomic_directory(paths.MODELS) as folder:
        for state in states:
            save_model(folder / paths.model(state.component).name, state)
    last = {(r.component, r.split): r for state in states for r in state.history if r.epoch == state.epoch}
    metrics = {}
    for state in states:
        measures = {
            split: _measures(last[state.component, split], floors.get((state.component, split)))
            for split in splits
        }
        metrics[state.component] = measures.pop("train") | measures
    files.write_json(paths.TRAIN_METRICS, metrics)
    files.write_text(paths.HISTORY, _csv([record for state in states for record in state.history]))


def _measures(record: EpochMetrics, floor: float | None) -> dict[str, float]:
    """Nats an image; the excess is what a model could still gain."""
    values = {"cost": record.cost, "reconstruction": record.reconstruction, "kl": record.kl}
    if floor is not None:
        values |= {"floor": floor, "excess": record.cost - floor}
    return {name: files.round_significant(value) for name, value in values.items()}


def _csv(records: Sequence[EpochMetrics]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", "component", "split", "cost", "reconstruction", "kl"])
    for r in sorted(records, key=lambda r: r.epoch):
        measures = (files.round_significant(v) for v in (r.cost, r.reconstruction, r.kl))
        writer.writerow([r.epoch, r.component, r.split, *measures])
    return text.getvalue()
