"""merge: reconstruct the test images with every component's model, as RGB; measure them; write the report."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline import files, gallery, images, layout, machine_limits, measures, store
from pipeline.errors import PipelineError
from pipeline.images import Images
from pipeline.params import Params
from pipeline.progress import bar
from pipeline.report import page
from vae import classifier
from vae.baseline import Principal, principal
from vae.config import Sizes
from vae.evaluate import BATCH, evaluate, reconstruct
from vae.model import VAE
from vae.modelfile import load_model
from vae.record import Record
from vae.stack import assemble
from vae.tensorfile import ModelFileError

SPLIT = "test"
JUDGED = 200  # samples of each label that the classifier reads


@dataclass(frozen=True)
class Component:
    """One model, the linear one that it is held against, and what both see."""

    name: str
    model: VAE
    linear: Principal
    images_ND: Tensor  # uint8
    labels_N: Tensor | None  # int64, where the model is told them


def run(params: Params) -> None:
    """Read data/channels, models/ and judge/, write reconstructions/, report/, metrics/{test,summary}.json.

    Raises:
        PipelineError: a file is absent, damaged, or does not fit the others.
    """
    machine_limits.share_threads()
    names, seed = layout.components(params.model.channels), params.train.seed
    test = images.test(names)
    components = _components(params, test)
    metrics, units = {}, {}
    for each in components:
        [found] = evaluate(each.model, [each.name], each.images_ND[None], seed, each.labels_N)
        metrics[each.name] = measures.component(
            each.name, each.model, found, each.images_ND, each.labels_N, each.linear, seed
        )
        units[each.name] = gallery.units(each.model, found, test.side)
    rgb = metrics.get(layout.JOINT) or measures.together(list(metrics.values()))
    shown = measures.evenly(len(test), params.merge.images)
    likeness, by_pca = _reconstruct(components, test, shown)
    metrics[layout.JOINT] = rgb | likeness
    samples = np.empty((0, 3, *test.side), np.uint8)
    conditional = None
    if params.model.conditional:
        [only] = components
        metrics[layout.JOINT] |= _judge(only, test, seed)
        conditional = gallery.conditional(only.model, only.name, test.classes, seed)
    else:
        samples = gallery.samples({each.name: each.model for each in components}, test.side, seed)
    metrics = {
        name: {measure: files.significant(value) for measure, value in values.items()}
        for name, values in metrics.items()
    }
    with store.read(layout.RECONSTRUCTIONS, dimensions=4) as merged:
        reconstructions = merged[SPLIT].images[shown]
    chosen, history = test.part(shown), _history()
    files.write_json(layout.TEST_METRICS, metrics)
    files.write_json(layout.SUMMARY, measures.summary(metrics[layout.JOINT], history))
    page.write(
        layout.REPORT,
        page.Content(
            params=params,
            metrics=metrics,
            history=history,
            provenance=images.provenance(),
            originals=chosen.pictures(),
            reconstructions=reconstructions,
            pca=by_pca,
            labels=_names(chosen),
            samples=samples,
            units=units,
            conditional=conditional,
        ),
    )


def _components(params: Params, test: Images) -> list[Component]:
    """Every model, and its linear rival, fitted to the same training images."""
    names = tuple(test.pixels)
    training, _ = images.training(names, params.data.validation)
    sizes = images.sizes(training, params.model.conditional)
    models = {name: _model(name, sizes) for name in names}
    labels = torch.from_numpy(_told(test, sizes)) if sizes.classes else None
    return [
        Component(
            name,
            model,
            principal(torch.from_numpy(training.pixels[name]), params.model.latent),
            torch.from_numpy(test.pixels[name]),
            labels,
        )
        for name, model in models.items()
    ]


def _model(component: str, sizes: Sizes) -> VAE:
    path = layout.model(component)
    try:
        state = load_model(path)
    except ModelFileError as error:
        raise PipelineError(f"{error}; run `dvc repro` to make it") from None
    if state.sizes != sizes:
        raise PipelineError(
            f"{path}: a model of {_described(state.sizes)}, but the images are {_described(sizes)}; "
            "run `dvc repro train`"
        )
    return assemble([state], torch.device("cpu")).eval()


def _described(sizes: Sizes) -> str:
    labels = f" with {sizes.classes} labels" if sizes.classes else ""
    return "x".join(map(str, sizes.image)) + labels


def _told(test: Images, sizes: Sizes) -> np.ndarray:
    if test.labels is None:
        raise PipelineError(f"{layout.channel(layout.COLOURS[0])}: the test images have no labels")
    labels = test.told()
    if labels.max() >= sizes.classes:
        raise PipelineError(
            f"{layout.channel(layout.COLOURS[0])}: a test image is labelled {labels.max()}, but the training "
            f"images' labels end at {sizes.classes - 1}"
        )
    return labels


def _names(chosen: Images) -> list[str]:
    """What some images' labels are called; nothing where there are none."""
    if chosen.labels is None:
        return []
    return [chosen.classes[label] if chosen.classes else str(label) for label in chosen.labels]


def _reconstruct(
    components: list[Component], test: Images, shown: np.ndarray
) -> tuple[dict[str, float], np.ndarray]:
    """Write the merged reconstructions of the posterior means; measure them before they are rounded to bytes.

    Returns the likeness of them and of those by PCA with as many numbers an image; and the latter, of the
    images `shown`, (n, 3, H, W) uint8.
    """
    count = len(test)
    found, by_pca, pictures = measures.Likeness(), measures.Likeness(), []
    with (
        store.create(layout.RECONSTRUCTIONS) as file,
        bar("reconstruct", count, "images") as advance,
    ):
        dataset = file.create(SPLIT, (count, 3, *test.side), test.labels, classes=test.classes)
        for start in range(0, count, BATCH):
            block = slice(start, min(start + BATCH, count))
            x = _picture({each.name: each.images_ND[block] / 255 for each in components}, test)
            y = _picture({each.name: _rebuilt(each, block) for each in components}, test)
            linear = _picture({e.name: e.linear.reconstruct(e.images_ND[block]) for e in components}, test)
            found.add(y, x)
            by_pca.add(linear, x)
            dataset[block] = gallery.to_bytes(y)
            pictures.append(
                gallery.to_bytes(linear[shown[(shown >= block.start) & (shown < block.stop)] - start])
            )
            advance(len(x))
    return found.means() | by_pca.means("pca_"), np.concatenate(pictures)


def _rebuilt(each: Component, block: slice) -> Tensor:
    labels = None if each.labels_N is None else each.labels_N[block]
    return reconstruct(each.model, each.images_ND[None, block], labels)[0]


def _picture(pixels: Mapping[str, Tensor], test: Images) -> Tensor:
    """Components, (B, D) each, as (B, 3, H, W)."""
    return torch.cat([x.reshape(len(x), -1, *test.side) for x in pixels.values()], dim=1)


def _judge(only: Component, test: Images, seed: int) -> dict[str, float]:
    """What the classifier reads in samples of each label."""
    try:
        judge = classifier.load(layout.CLASSIFIER)
    except ModelFileError as error:
        raise PipelineError(f"{error}; run `dvc repro judge`") from None
    samples, asked = gallery.drawn_on_demand(only.model, only.name, JUDGED, seed)
    return measures.on_demand(
        judge, samples, asked, torch.from_numpy(test.pictures()), torch.from_numpy(test.told())
    )


def _history() -> list[Record]:
    try:
        return page.read_history(layout.HISTORY)
    except FileNotFoundError:
        raise PipelineError(f"{layout.HISTORY}: not found; run `dvc repro` to make it") from None
    except OSError as error:
        raise files.unreadable(layout.HISTORY, error) from None
