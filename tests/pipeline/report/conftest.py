"""Content of a report on the paper's models, on a joint one, and on one with a density."""

from dataclasses import replace

import pytest

from pipeline.data.store import Provenance
from pipeline.experiment import params
from pipeline.report import page
from tests.helpers.checkout import ROOT
from tests.helpers.report import MODEL, PICTURES, RGB, SAMPLES, stripes, written
from vae.metrics import EpochMetrics


@pytest.fixture(scope="session")
def content() -> page.Content:
    """Of the paper's three models."""
    colours = ("red", "green", "blue")
    variance = [1.0, 0.5, 0.2, 0.1] + [0.001] * 16
    return page.Content(
        params=params.read(ROOT / "params.yaml"),
        metrics={c: dict(MODEL) for c in colours} | {"rgb": dict(RGB)},
        history=[EpochMetrics(c, e, "train", 700 - e, 690 - e, 10) for c in colours for e in (1, 2)],
        provenance={"train": (73257, Provenance("train_32x32.mat", 12, "f" * 32)), "test": (5, None)},
        originals=stripes(20, 3),
        reconstructions=stripes(20, 3),
        pca=stripes(20, 3),
        labels=[str(i % 10) for i in range(20)],
        samples=stripes(64, 3),
        units={c: page.Units(variance, [0, 1, 2, 3], stripes(4, 9)) for c in colours},
        conditional=None,
    )


@pytest.fixture(scope="session")
def joint(content: page.Content) -> page.Content:
    """Of one model that is told the digit."""
    model = replace(content.params.model, channels="joint", latent=20, conditional=True)
    return replace(
        content,
        params=replace(content.params, model=model),
        metrics={"rgb": MODEL | RGB | SAMPLES | {"active_units": 20}},
        samples=stripes(0, 3),
        units={"rgb": page.Units([1.0] * 20, [0, 1], stripes(2, 9, 3))},
        conditional=page.Conditional([str(d) for d in range(10)], 10, stripes(10, 12, 3), stripes(6, 10, 3)),
    )


@pytest.fixture(scope="session")
def density(content: page.Content) -> page.Content:
    """Of three models with a density."""
    model = replace(content.params.model, likelihood="gaussian")
    values = {
        "cost": -1300.0,
        "bits_per_dim": 6.125,
        "linear_cost": -1200.0,
        "active_units": 20,
        "mse": 0.004,
    }
    rgb = {"cost": -3900.0, "bits_per_dim": 6.125, "linear_cost": -3600.0} | PICTURES | {"mse": 0.0038}
    return replace(
        content,
        params=replace(content.params, model=model),
        metrics={c: dict(values) for c in ("red", "green", "blue")} | {"rgb": rgb},
    )


@pytest.fixture(scope="session")
def html(tmp_path_factory: pytest.TempPathFactory, content: page.Content) -> str:
    """The page on the paper's three models."""
    return written(tmp_path_factory.mktemp("report"), content)
