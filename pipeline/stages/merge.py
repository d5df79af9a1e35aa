"""merge: reconstruct the test images with every component's model, as RGB; measure them; write the report."""

import csv
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.common import allocator, files, machine_limits, paths
from pipeline.common.errors import PipelineError, listed, one_line
from pipeline.common.progress import bar
from pipeline.data import images, store
from pipeline.data.images import Images
from pipeline.evaluation.metrics import component_metrics, evenly_spaced, headline
from pipeline.evaluation.reconstruction import ImageQuality, merge_metrics, rebuild_and_score
from pipeline.evaluation.registry import BOUND_IMAGES
from pipeline.evaluation.samples import conditional_metrics
from pipeline.experiment.params import Params
from pipeline.report import latent_pictures, page
from vae import classifier
from vae.baseline import PCA, fit_pca
from vae.config import Sizes
from vae.evaluate import evaluate, reconstruct
from vae.images import to_bytes
from vae.metrics import EpochMetrics
from vae.model import VAE
from vae.modelfile import load_model
from vae.stack import assemble
from vae.tensorfile import ModelFileError

SPLIT = "test"


@dataclass(frozen=True)
class Component:
    """One model, the linear one that it is held against, and what both see."""

    name: str
    model: VAE
    linear: PCA
    images_ND: Tensor  # uint8
    labels_N: Tensor | None  # int64, where the model is told them

    def rebuilt(self, rows: slice) -> Tensor:
        """Some images by the model, brightness (B, D)."""
        labels = None if self.labels_N is None else self.labels_N[rows]
        return reconstruct(self.model, self.images_ND[None, rows], labels)[0]

    def rebuilt_by_pca(self, rows: slice) -> Tensor:
        """Some images by as many principal components as the model has latent units, brightness (B, D)."""
        return self.linear.reconstruct(self.images_ND[rows])


def run(params: Params) -> None:
    """Read data/channels, models/ and classifier/; write reconstructions/, report/ and two of metrics/.

    Raises:
        PipelineError: a file is absent, damaged, or does not fit the others.
    """
    machine_limits.share_threads()
    names, seed = paths.components(params.model.channels), params.train.seed
    test = images.load_test(names)
    components = [_component(params, test, name) for name in names]
    allocator.keep_freed()  # from here on: before, it would keep training images
    metrics, units = {}, {}
    for component in components:
        metrics[component.name], units[component.name] = _measure(component, test.side, seed)
    rgb = merge_metrics(metrics)
    shown = evenly_spaced(len(test), params.merge.images)
    quality, reconstructions, by_pca = _reconstruct(components, test, shown)
    metrics[paths.MERGED] = rgb | quality
    samples = np.empty((0, 3, *test.side), np.uint8)
    conditional = None
    if params.model.conditional:
        [only] = components
        metrics[paths.MERGED] |= _classify_samples(only, test, seed)
        conditional = latent_pictures.conditional(only.model, only.name, seed)
    else:
        samples = latent_pictures.samples(
            {component.name: component.model for component in components}, test.side, seed
        )
    metrics = {name: files.rounded(values) for name, values in metrics.items()}
    chosen, history = test.part(shown), _history()
    files.write_json(paths.TEST_METRICS, metrics)
    files.write_json(paths.SUMMARY, files.rounded(headline(metrics[paths.MERGED], history)))
    page.write(
        paths.REPORT,
        page.Content(
            params=params,
            metrics=metrics,
            history=history,
            provenance=images.provenance(),
            originals=chosen.pictures(),
            reconstructions=reconstructions,
            pca=by_pca,
            labels=chosen.label_names(),
            samples=samples,
            units=units,
            conditional=conditional,
        ),
    )


def _measure(component: Component, side: tuple[int, int], seed: int) -> tuple[dict[str, float], page.Units]:
    """A component's metrics on the test images, and its latent units for the report."""
    name, model = component.name, component.model
    [evaluation] = evaluate(model, [name], component.images_ND[None], seed, component.labels_N)
    images_ND, labels_N = component.images_ND, component.labels_N
    with bar(f"measure {name}", min(len(images_ND), BOUND_IMAGES), "images") as advance:
        metrics = component_metrics(
            name, model, evaluation, images_ND, labels_N, component.linear, seed, advance
        )
    return metrics, latent_pictures.units(model, evaluation, side)


def _component(params: Params, test: Images, name: str) -> Component:
    """A model, and its linear rival, fitted to the same training images."""
    # Of one at a time, since the training images are most of what this stage holds.
    training, _ = images.load_training(tuple(test.pixels), params.data.validation, only=[name])
    classes = images.known_classes(training) if params.model.conditional else None
    model = _model(name, images.sizes(training, classes))
    linear = fit_pca(torch.from_numpy(training.pixels[name]), params.model.latent)
    labels = torch.from_numpy(classes.places(test, SPLIT)) if classes else None
    return Component(name, model, linear, torch.from_numpy(test.pixels[name]), labels)


def _model(component: str, sizes: Sizes) -> VAE:
    path = paths.model(component)
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
    told = f" with {sizes.classes} classes ({listed(sizes.class_names)})" if sizes.classes else ""
    return "x".join(map(str, sizes.image)) + told


def _reconstruct(
    components: list[Component], test: Images, shown: np.ndarray
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """Write the merged reconstructions of the posterior means; measure them before they are rounded to bytes.

    Returns the quality of them and of those by PCA with as many numbers an image; and both of the images
    `shown`, each (n, 3, H, W) uint8.
    """
    originals = [component.images_ND for component in components]
    quality, quality_of_pca = ImageQuality(), ImageQuality()
    pictures, pictures_of_pca = [], []
    by_models = rebuild_and_score(
        originals, test.side, lambda rows: [component.rebuilt(rows) for component in components], quality
    )
    by_pca = rebuild_and_score(
        originals,
        test.side,
        lambda rows: [component.rebuilt_by_pca(rows) for component in components],
        quality_of_pca,
    )
    with (
        store.create(paths.RECONSTRUCTIONS) as file,
        bar("reconstruct", len(test), "images") as advance,
    ):
        dataset = file.create(SPLIT, (len(test), 3, *test.side), test.labels, classes=test.classes)
        for (rows, found), (_, linear) in zip(by_models, by_pca, strict=True):
            dataset[rows] = rebuilt = to_bytes(found)
            chosen = shown[(shown >= rows.start) & (shown < rows.stop)] - rows.start
            pictures.append(rebuilt[chosen])
            pictures_of_pca.append(to_bytes(linear[chosen]))
            advance(len(found))
    measures = quality.means() | quality_of_pca.means("pca_")
    return measures, np.concatenate(pictures), np.concatenate(pictures_of_pca)


def _classify_samples(only: Component, test: Images, seed: int) -> dict[str, float]:
    """Metrics of samples of each label, as the classifier reads them."""
    try:
        reader = classifier.load(paths.CLASSIFIER)
    except ModelFileError as error:
        raise PipelineError(f"{error}; run `dvc repro classifier`") from None
    assert only.labels_N is not None
    return conditional_metrics(
        reader, only.model, only.name, torch.from_numpy(test.pictures()), only.labels_N, seed
    )


def _history() -> list[EpochMetrics]:
    try:
        return page.read_history(paths.HISTORY)
    except FileNotFoundError:
        raise PipelineError(f"{paths.HISTORY}: not found; run `dvc repro` to make it") from None
    except OSError as error:
        raise files.unreadable(paths.HISTORY, error) from None
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise PipelineError(
            f"{paths.HISTORY}: damaged ({one_line(error)}); delete it and run `dvc repro`"
        ) from None
