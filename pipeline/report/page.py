"""What the report says, put into its template."""

import csv
from dataclasses import asdict, dataclass
from pathlib import Path

import jinja2
import numpy as np

from pipeline import files, layout
from pipeline.data.official import is_official
from pipeline.params import Params
from pipeline.report import figures
from pipeline.store import Provenance
from vae.record import Record

BAND = 16  # pairs of pictures in a row, at most
PAGE = 1024  # pixels that a row has room for
PREVIEW = 12  # images shown with their channels


@dataclass(frozen=True)
class Measure:
    """A column of the table of metrics."""

    name: str  # in metrics/test.json
    title: str
    unit: str
    digits: int
    meaning: str


MEASURES = (
    Measure("cost", "cost", "nats/image", 1, "reconstruction + KL: the negative ELBO at one sample of z"),
    Measure("reconstruction", "reconstruction", "nats/image", 1, "cross-entropy summed over the pixels"),
    Measure("kl", "KL", "nats/image", 2, "KL(q(z|x) ‖ N(0, I)), summed over the latent units"),
    Measure("floor", "floor", "nats/image", 1, "entropy of the pixels: the least cost of any model"),
    Measure("excess", "excess", "nats/image", 1, "cost less floor: what a model could still gain"),
    Measure(
        "active_units", "active units", "of latent", 0, "units whose posterior mean varies, by more than 0.01"
    ),
    Measure("mse", "MSE", "per pixel in [0, 1]", 4, "mean squared error of the posterior mean's picture"),
    Measure("psnr", "PSNR", "dB", 2, "peak signal-to-noise ratio, averaged over images"),
    Measure("ssim", "SSIM", "at most 1", 3, "structural similarity, averaged over images"),
)


@dataclass(frozen=True)
class Content:
    """All that the page is made from."""

    params: Params
    metrics: dict[str, dict[str, float]]  # by component and rgb; as in metrics/test.json
    history: list[Record]
    provenance: dict[str, tuple[int, Provenance | None]]  # images and file of each split
    originals: np.ndarray  # (N, 3, H, W) uint8
    reconstructions: np.ndarray  # (N, 3, H, W) uint8
    labels: list[str]  # of each original, as they are shown; empty without labels


def write(path: Path, content: Content) -> None:
    """Write the page. Equal content gives equal bytes: nothing on it tells when it was made."""
    width = content.originals.shape[-1]
    columns = min(PREVIEW, _columns(width))
    preview = _filled(figures.channels(content.originals[:columns]), columns)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("template.html").render(
        params=asdict(content.params),
        measures=MEASURES,
        rows=[(name, _row(values)) for name, values in content.metrics.items()],
        files=_files(content.provenance),
        bands=_bands(content.originals, content.reconstructions),
        preview=figures.grid(preview, figures.scale(width)),
        preview_labels=content.labels[:columns],
        house_numbers=all(
            source is None or source.name == layout.raw(split).name
            for split, (_, source) in content.provenance.items()
        ),
        curves=figures.curves(
            content.history, {n: m["floor"] for n, m in content.metrics.items() if "kl" in m}
        ),
        count=len(content.originals),
        summary=content.metrics["rgb"],
    )
    files.write_text(path, page)


def read_history(path: Path) -> list[Record]:
    """The rows of plots/training.csv."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Record(
                row["component"],
                int(row["epoch"]),
                row["split"],
                float(row["cost"]),
                float(row["reconstruction"]),
                float(row["kl"]),
            )
            for row in csv.DictReader(file)
        ]


def _row(values: dict[str, float]) -> list[str]:
    return [f"{values[m.name]:.{m.digits}f}" if m.name in values else "" for m in MEASURES]


def _files(provenance: dict[str, tuple[int, Provenance | None]]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for split, (images, source) in provenance.items():
        official = source is not None and is_official(split, source.md5)
        rows.append({"split": split, "images": images, "source": source, "official": official})
    return rows


def _bands(originals: np.ndarray, reconstructions: np.ndarray) -> list[str]:
    """Pictures of rows of originals above their reconstructions; the last may be short."""
    width = originals.shape[-1]
    columns = _columns(width)
    pairs = np.stack([figures.opaque(originals), figures.opaque(reconstructions)])  # 2, N, H, W, 4
    return [
        figures.grid(_filled(pairs[:, i : i + columns], columns), figures.scale(width))
        for i in range(0, pairs.shape[1], columns)
    ]


def _columns(width: int) -> int:
    """Tiles in a row, so that wide ones are not shown smaller than they are."""
    return max(1, min(BAND, PAGE // width))


def _filled(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Tiles (rows, n, H, W, 4) with transparent ones to the row's end, so that all rows are of one scale."""
    return np.pad(tiles, ((0, 0), (0, columns - tiles.shape[1]), (0, 0), (0, 0), (0, 0)))
