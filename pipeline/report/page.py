"""The report of one training, report/index.html: its sections, put into the template."""

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common import files, paths
from pipeline.common.errors import printable
from pipeline.data.store import Provenance
from pipeline.data.svhn.official_files import is_official
from pipeline.experiment.params import Params
from pipeline.experiment.presets import PRESETS
from pipeline.report import figures, sentences
from pipeline.report.table import table
from pipeline.report.templates import render
from vae.config import ACTIVE_VARIANCE
from vae.metrics import EpochMetrics

BAND = 8  # pictures in a row, at most; a phone has room for one such row, a wider screen for two side by side
ROOM = 512  # pixels that a row has room for
PREVIEW = 12  # images shown with their channels


@dataclass(frozen=True)
class Units:
    """Latent units of one model."""

    variance: list[float]  # (K,) of the posterior mean over the test images
    shown: list[int]  # (U,) indices of the most active ones, most active first
    traversals: np.ndarray  # (U, T, H, W) or (U, T, 3, H, W) uint8: one unit from -3 to 3, the others at 0


@dataclass(frozen=True)
class Conditional:
    """Pictures that a model draws when it is told a label."""

    classes: list[str]  # (G,) names
    total: int  # of the model's classes, of which these are some
    samples: np.ndarray  # (G, n, 3, H, W) uint8: n draws from the prior with each label
    styles: np.ndarray  # (m, G, 3, H, W) uint8: m draws of z, each decoded with every label


@dataclass(frozen=True)
class Content:
    """Content of the page."""

    params: Params
    metrics: dict[str, dict[str, float]]  # by component and rgb; as in metrics/test.json
    history: list[EpochMetrics]
    provenance: Mapping[str, tuple[int, Provenance | None]]  # images and file of each split
    originals: np.ndarray  # (N, 3, H, W) uint8
    reconstructions: np.ndarray  # (N, 3, H, W) uint8
    pca: np.ndarray  # (N, 3, H, W) uint8: by as many principal components as a model has latent units
    labels: list[str]  # of each original, as they are shown; empty without labels
    samples: np.ndarray  # (S, 3, H, W) uint8: decoded draws from the prior; none of a conditional model
    units: dict[str, Units]  # by component
    conditional: Conditional | None


def write(path: Path, content: Content) -> None:
    """Write the page. Equal content gives equal bytes: nothing on it tells when it was made."""
    noun = sentences.noun(content.conditional.classes if content.conditional else [])
    page = render(
        "page.html",
        params=_shown(content.params),
        noun=noun,
        **_findings(content, noun),
        **_reconstructions(content),
        **_latent_space(content),
        **_training_and_data(content),
    )
    files.write_text(path, page)


def _shown(params: Params) -> dict[str, dict[str, Any]]:
    """Parameters as the page shows them: without what is nobody else's concern in a source's URL."""
    sections = asdict(params)
    sections["data"]["source"] = printable(params.data.source)
    return sections


def _findings(content: Content, noun: str) -> dict[str, object]:
    """Values of the first section: figures, sentences, and the table of metrics."""
    params, metrics = content.params, content.metrics
    values = content.originals[0].size
    pixels = {name: values // (1 if name == paths.MERGED else 3) for name in metrics}
    return {
        "about": sentences.about(params.model, noun),
        "facts": sentences.facts(params, metrics, noun),
        "sentences": sentences.sentences(params, metrics, values),
        "table": table(metrics, params.model.latent, pixels),
        "percent": sentences.percent,
        "verdict": sentences.verdict(metrics[paths.MERGED], noun),
        "judged": metrics[paths.MERGED],
    }


def _reconstructions(content: Content) -> dict[str, object]:
    """Values of the sections with originals: beside reconstructions, and with their channels."""
    columns = _columns(content.originals.shape[-1], PREVIEW, 2 * ROOM)
    return {
        "count": len(content.originals),
        "bands": _bands(content.originals, content.reconstructions, content.pca),
        "preview": _preview(content.originals),
        "preview_labels": content.labels[:columns],
    }


def _latent_space(content: Content) -> dict[str, object]:
    """Values of the sections on samples and latent units."""
    return {
        "samples": _samples(content.samples),
        "conditional": content.conditional and _conditional(content.conditional),
        "traversals": [
            (name, [f"unit {unit}" for unit in units.shown], _traversals(units))
            for name, units in content.units.items()
        ],
        "threshold": ACTIVE_VARIANCE,
        "activity": [
            (name, figures.activity(units.variance, name, ACTIVE_VARIANCE))
            for name, units in content.units.items()
        ],
    }


def _training_and_data(content: Content) -> dict[str, object]:
    """Values of the last sections: curves, files, and where to go on."""
    components = paths.components(content.params.model.channels)
    return {
        "curves": [(name, figures.curves(content.history, name)) for name in components],
        "house_numbers": all(
            source is None or source.name in (paths.raw(split).name, paths.archive(split).name)
            for split, (_, source) in content.provenance.items()
        ),
        "files": _files(content.provenance),
        "presets": PRESETS,
    }


def read_history(path: Path) -> list[EpochMetrics]:
    """The rows of plots/training.csv."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            EpochMetrics(
                row["component"],
                int(row["epoch"]),
                row["split"],
                float(row["cost"]),
                float(row["reconstruction"]),
                float(row["kl"]),
            )
            for row in csv.DictReader(file)
        ]


def _bands(*rows: np.ndarray) -> list[str]:
    """Pictures of rows of images, the same image in each row, below each other; the last may be short."""
    width = rows[0].shape[-1]
    columns = _columns(width, BAND, ROOM)
    tiles = figures.opaque(np.stack(rows))  # rows, N, H, W, 4
    return [
        figures.grid(figures.filled(tiles[:, i : i + columns], columns), figures.scale(width))
        for i in range(0, tiles.shape[1], columns)
    ]


def _samples(images: np.ndarray) -> list[str]:
    """Two pictures of half of them each, for a screen that has room for both side by side."""
    small = figures.thumbnails(images)
    half = -(-len(small) // (2 * BAND)) * BAND  # whole rows
    return [_sheet(figures.opaque(block)) for block in (small[:half], small[half:]) if len(block)]


def _sheet(tiles: np.ndarray) -> str:
    """Tiles (n, H, W, 4) in rows of BAND."""
    rows = -(-len(tiles) // BAND)
    whole = figures.filled(tiles[None], rows * BAND)
    return figures.grid(whole.reshape(rows, BAND, *tiles.shape[1:]), figures.scale(tiles.shape[2]))


def _conditional(found: Conditional) -> dict[str, object]:
    """Two pictures with a row for each class."""
    samples, styles = figures.thumbnails(found.samples), figures.thumbnails(found.styles.swapaxes(0, 1))
    scale = figures.scale(samples.shape[-1])
    return {
        "classes": found.classes,
        "total": found.total,
        "samples": figures.grid(figures.opaque(samples), scale),
        "styles": figures.grid(figures.opaque(styles), scale),
    }


def _traversals(units: Units) -> str | None:
    """A row for each unit; None if there is none."""
    if not units.shown:
        return None
    small = figures.thumbnails(units.traversals)
    tiles = figures.grey(small) if small.ndim == 4 else figures.opaque(small)
    return figures.grid(tiles, figures.scale(small.shape[-1]))


def _preview(images: np.ndarray) -> str:
    width = images.shape[-1]
    columns = _columns(width, PREVIEW, 2 * ROOM)
    return figures.grid(figures.filled(figures.channels(images[:columns]), columns), figures.scale(width))


def _columns(width: int, most: int, room: int) -> int:
    """Tiles in a row, so that wide ones are not shown smaller than they are."""
    return max(1, min(most, room // width))


def _files(provenance: Mapping[str, tuple[int, Provenance | None]]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for split, (images, source) in provenance.items():
        official = source is not None and is_official(split, source.md5)
        rows.append({"split": split, "images": images, "source": source, "official": official})
    return rows
