"""A study's pictures: its plot, and the reconstructions of each setting. Equal input, equal bytes."""

import io
import math
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

from pipeline.evaluation.registry import Metric
from pipeline.report import figures
from pipeline.studies.tables import Outcome, value
from pipeline.trials.setting import short_value

TEST_COLOR, VALIDATION_COLOR = figures.WHOLE_COLOR, "#c98a2b"
LETTERS = 15  # pixels of height, of the names beside rows


def plot(outcome: Outcome) -> bytes:
    """An SVG: each measure by setting, on test and validation images, over the seeds' band."""
    measures = outcome.measures()
    with mpl.rc_context(cast(Any, figures.STYLE)):
        figure = Figure(figsize=(4.6 * len(measures), 3.2), layout="constrained")
        for axis, measure in zip(np.atleast_1d(figure.subplots(1, len(measures))), measures, strict=True):
            _panel(axis, outcome, measure)
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    return svg.getvalue()


def _panel(axis: Axes, outcome: Outcome, measure: Metric) -> None:
    numbers = _numbers(outcome)
    places = numbers or list(range(len(outcome.trials)))
    line = "solid" if numbers else "none"
    band = outcome.noise(measure)
    if band:
        label = f"another seed, test (from {band.seeds})"
        axis.axhspan(band.low, band.high, color=TEST_COLOR, alpha=0.15, linewidth=0, label=label)
    for split, color, marker in (("validation", VALIDATION_COLOR, "s"), ("test", TEST_COLOR, "o")):
        if split in outcome.splits():
            values = [value(result, measure, split) for _, result in outcome.trials]
            axis.plot(places, values, linestyle=line, marker=marker, markersize=4.5, color=color, label=split)
    if numbers:
        if min(numbers) > 0 and max(numbers) >= 10 * min(numbers):
            axis.set_xscale("log")
        axis.set_xticks(numbers, [short_value(n) for n in numbers], minor=False)
        axis.minorticks_off()
        [path] = outcome.trials[0][0].setting
        axis.set_xlabel(path)
    else:
        names = [_short(trial.label) for trial, _ in outcome.trials]
        steep = max(map(len, names)) * len(names) > 45
        axis.set_xticks(places, names, rotation=30 if steep else 0, ha="right" if steep else "center")
        axis.margins(x=0.12)
    axis.set_ylabel(f"{measure.title}{', ' + measure.unit if measure.unit else ''}")
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.legend(frameon=False, fontsize=8)


def _numbers(outcome: Outcome) -> list[float] | None:
    """The settings as places on an axis, where they are ascending numbers of one parameter but the seed."""
    settings = [trial.setting for trial, _ in outcome.trials]
    if any(set(setting) != set(settings[0]) or len(setting) != 1 for setting in settings):
        return None
    [path] = settings[0]
    values = [setting[path] for setting in settings]
    ordered = all(type(value) in (int, float) for value in values) and values == sorted(values)
    return values if ordered and path != "train.seed" else None


def _short(label: str) -> str:
    """Without the parameter's name, where there is one alone."""
    return label.partition(" ")[2] if "," not in label else label.replace(", ", ",\n")


def reconstructions(outcome: Outcome, originals: np.ndarray) -> Image.Image:
    """A row of originals, (n, 3, H, W) uint8, and below them a row for each setting: the same images."""
    rows = [originals, *(result.snapshot.shown for _, result in outcome.trials)]
    names = ["original", *(trial.label for trial, _ in outcome.trials)]
    tiles = figures.opaque(figures.thumbnails(np.stack(rows)))
    picture = figures.sheet(tiles, figures.scale(tiles.shape[-2]))
    font = ImageFont.load_default(LETTERS)
    margin = 12 + math.ceil(max(font.getlength(name) for name in names))
    whole = Image.new("RGB", (margin + picture.width, picture.height), "white")
    whole.paste(picture, (margin, 0), picture)
    draw = ImageDraw.Draw(whole)
    for row, name in enumerate(names):
        middle = round((row + 0.5) * picture.height / len(rows))
        draw.text((margin - 8, middle), name, fill="#333333", font=font, anchor="rm")
    return whole
