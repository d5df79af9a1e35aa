"""merge: reconstruct the test images with every component's model, as RGB; measure them; write the report."""

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from pipeline import files, layout, store
from pipeline.errors import PipelineError
from pipeline.params import Params
from pipeline.progress import bar
from pipeline.report import page
from vae.baseline import entropy_floor
from vae.evaluate import BATCH, evaluate, reconstruct
from vae.model import VAE
from vae.modelfile import ModelFileError, load_model
from vae.record import Record
from vae.stack import assemble

SPLIT = "test"
SUMMED = ("cost", "floor", "excess")  # of the RGB image: three channels' nats add up


def run(params: Params) -> None:
    """Read data/channels and models/, write reconstructions/, metrics/test.json and report/.

    Raises:
        PipelineError: a file is absent, damaged, or does not fit the others.
    """
    with ExitStack() as stack:
        channels = [
            stack.enter_context(store.read(layout.channel(c), dimensions=3)) for c in layout.COMPONENTS
        ]
        tests = [_test_split(channel, c) for channel, c in zip(channels, layout.COMPONENTS, strict=True)]
        store.check_alike({layout.channel(c): t for c, t in zip(layout.COMPONENTS, tests, strict=True)})
        models = [_model(component, tests[0].shape[1:]) for component in layout.COMPONENTS]
        metrics = {
            component: _measure(component, model, test, params.train.seed)
            for component, model, test in zip(layout.COMPONENTS, models, tests, strict=True)
        }
        metrics["rgb"] = {name: sum(m[name] for m in metrics.values()) for name in SUMMED}
        metrics["rgb"] |= _reconstruct(models, tests)
        metrics = {
            name: {measure: files.significant(value) for measure, value in measures.items()}
            for name, measures in metrics.items()
        }
        provenance = {name: (split.shape[0], split.provenance) for name, split in channels[0].items()}
        shown = np.linspace(0, tests[0].shape[0] - 1, params.merge.images).round().astype(int)
        # h5py reads ascending indices without repeats; a small set may be asked for more than it has.
        shown = np.unique(shown)
        originals = np.stack([test.images[shown] for test in tests], axis=1)
        labels = _names(tests[0], shown)
    with store.read(layout.RECONSTRUCTIONS, dimensions=4) as merged:
        reconstructions = merged[SPLIT].images[shown]
    files.write_json(layout.TEST_METRICS, metrics)
    page.write(
        layout.REPORT,
        page.Content(params, metrics, _history(), provenance, originals, reconstructions, labels),
    )


def _test_split(channel: dict[str, store.Split], component: str) -> store.Split:
    if SPLIT not in channel:
        found = ", ".join(channel) or "nothing"
        raise PipelineError(f"{layout.channel(component)}: no split {SPLIT}; found {found}")
    return channel[SPLIT]


def _names(split: store.Split, shown: np.ndarray) -> list[str]:
    """What some images' labels are called; nothing where there are none. shown: (n,) indices."""
    if split.labels is None:
        return []
    return [split.classes[label] if split.classes else str(label) for label in split.labels[shown]]


def _model(component: str, image: tuple[int, ...]) -> VAE:
    path = layout.model(component)
    try:
        state = load_model(path)
    except ModelFileError as error:
        raise PipelineError(f"{error}; run `dvc repro` to make it") from None
    pixels = int(np.prod(image))
    if state.pixels != pixels:
        raise PipelineError(
            f"{path}: a model of {state.pixels} pixels, but the images have {pixels}; run `dvc repro train`"
        )
    return assemble([state], torch.device("cpu")).eval()


def _measure(component: str, model: VAE, test: store.Split, seed: int) -> dict[str, float]:
    images = torch.from_numpy(test.images[:]).flatten(1)
    [measures] = evaluate(model, [component], images[None], seed)
    floor = entropy_floor(images)
    return {
        "cost": measures.cost,
        "reconstruction": measures.reconstruction,
        "kl": measures.kl,
        "floor": floor,
        "excess": measures.cost - floor,
        "mse": measures.mse,
        "active_units": measures.active_units,
    }


def _reconstruct(models: Sequence[VAE], tests: Sequence[store.Split]) -> dict[str, float]:
    """Write the merged reconstructions of the posterior means; measure them before they are rounded to bytes.

    Means over images: MSE a pixel in [0, 1], PSNR in dB, SSIM (Wang et al. 2004, Gaussian window of 11).
    """
    count, height, width = tests[0].shape
    shape = (count, len(tests), height, width)
    sums = torch.zeros(3, dtype=torch.float64)
    with (
        store.create(layout.RECONSTRUCTIONS) as file,
        bar("reconstruct", count, "images") as advance,
    ):
        dataset = file.create(SPLIT, shape, tests[0].labels, classes=tests[0].classes)
        for start in range(0, count, BATCH):
            block = slice(start, min(start + BATCH, count))
            images = [torch.from_numpy(test.images[block]) for test in tests]
            rebuilt = [
                reconstruct(model, pixels.flatten(1)[None])[0].view(pixels.shape)
                for model, pixels in zip(models, images, strict=True)
            ]
            x, y = torch.stack(images, 1) / 255, torch.stack(rebuilt, 1)
            sums += torch.stack(
                [
                    (x - y).square().mean((1, 2, 3)).double().sum(),
                    peak_signal_noise_ratio(y, x, data_range=1.0, dim=(1, 2, 3), reduction="none")
                    .double()
                    .sum(),
                    structural_similarity_index_measure(y, x, data_range=1.0, reduction="none")
                    .double()
                    .sum(),
                ]
            )
            dataset[block] = (y * 255).round().to(torch.uint8).numpy()
            advance(len(x))
    return dict(zip(("mse", "psnr", "ssim"), (sums / count).tolist(), strict=True))


def _history() -> list[Record]:
    try:
        return page.read_history(layout.HISTORY)
    except FileNotFoundError:
        raise PipelineError(f"{layout.HISTORY}: not found; run `dvc repro` to make it") from None
