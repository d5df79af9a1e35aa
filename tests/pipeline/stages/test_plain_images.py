"""Images with little in them: every metric is a finite number, or is left out and the report says why."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.common import files, paths
from pipeline.stages import merge
from tests.helpers.drawings import noise
from tests.helpers.merging import TINY, ready, write_channels
from tests.helpers.models import model

pytestmark = pytest.mark.slow

FITTED, TESTED = 30, 10
NO_LINEAR = "There is no linear model to compare the cost with: the pixels"


def shaped(value: int) -> np.ndarray:
    return np.full((FITTED + TESTED, 3, 16, 16), value, np.uint8)


def without_red() -> np.ndarray:
    images = noise(FITTED + TESTED, 3, 16, 16)
    images[:, 0] = 0
    return images


def black_and_white() -> np.ndarray:
    return np.where(noise(FITTED + TESTED, 3, 16, 16) < 128, 0, 255).astype(np.uint8)


IMAGES = {
    "an empty channel": (without_red, f"{NO_LINEAR} of red are black or white"),
    "black and white": (black_and_white, f"{NO_LINEAR} of red, green and blue are black or white"),
    "all black": (lambda: shaped(0), NO_LINEAR),
    "all white": (lambda: shaped(255), NO_LINEAR),
    "one value": (lambda: shaped(128), ""),
    "one image": (lambda: np.repeat(noise(1, 3, 16, 16), FITTED + TESTED, 0), ""),
}


def measured() -> dict[str, dict[str, float]]:
    """metrics/test.json, in which every number is finite."""

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} in metrics")

    metrics: dict[str, dict[str, float]] = json.loads(paths.TEST_METRICS.read_text(), parse_constant=refuse)
    assert all(math.isfinite(value) for values in metrics.values() for value in values.values())
    html = paths.REPORT.read_text()
    assert " nan" not in html
    assert ">nan" not in html
    assert "infinity" not in html.lower()
    return metrics


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
@pytest.mark.parametrize("kind", IMAGES)
def test_every_metric_is_finite_or_left_out(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, kind: str, likelihood: str
) -> None:
    draw, said = IMAGES[kind]
    write_channels(draw(), np.arange(FITTED + TESTED, dtype=np.uint8) % 10, FITTED)
    merge.run(ready(model(**TINY, likelihood=likelihood), monkeypatch))
    metrics = measured()
    if likelihood == "bernoulli":
        assert ("linear_cost" in metrics["rgb"]) == (not said)
        assert said in paths.REPORT.read_text()
    else:
        assert "linear_cost" in metrics["rgb"]


def test_one_test_image_a_class(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = noise(FITTED + TESTED, 3, 16, 16)
    write_channels(images, np.arange(FITTED + TESTED, dtype=np.uint8) % 10, FITTED)
    config = model(channels="joint", conditional=True, **TINY)
    merge.run(ready(config, monkeypatch, classes=10))
    metrics = measured()["rgb"]
    assert "sample_accuracy" in metrics
    assert "sample_deviation" not in metrics
    assert "no label has two test images that differ" in paths.REPORT.read_text()


def test_two_images(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_channels(noise(2, 3, 16, 16), np.array([0, 1], np.uint8), 1)
    merge.run(ready(model(**TINY), monkeypatch))
    assert {"red", "green", "blue", "rgb"} == measured().keys()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_json_holds_what_is_no_number(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "metrics.json", {"cost": value})
    assert list(tmp_path.iterdir()) == []
