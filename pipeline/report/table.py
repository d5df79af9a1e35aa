"""The report's table of metrics: a row for each model, and below it one for a linear method."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.evaluation.registry import METRICS, Metric


@dataclass(frozen=True)
class TableRow:
    """A line of the table."""

    name: str  # component, or of a linear method what it is
    linear: bool  # a line for comparison
    cells: list[str]  # one a column, as they are shown; "" where nothing is known


@dataclass(frozen=True)
class Table:
    """The report's table of metrics."""

    columns: list[Metric]
    rows: list[TableRow]


def table(metrics: Mapping[str, Mapping[str, float]], latent: int, pixels: Mapping[str, int]) -> Table:
    """Rows for each component and for RGB. latent: K of a model; pixels: numbers in an image of each."""
    rows: list[tuple[str, bool, Mapping[str, float]]] = []
    for name, values in metrics.items():
        rows.append((name, False, values))
        if beside := linear(values, pixels[name]):
            rows.append((f"PCA, k={latent}", True, beside))
    known = {name for _, _, values in rows for name in values}
    columns = [metric for metric in METRICS.values() if metric.reported and metric.name in known]
    return Table(columns, [TableRow(n, beside, [_cell(m, v) for m in columns]) for n, beside, v in rows])


def linear(values: Mapping[str, float], pixels: int) -> dict[str, float]:
    """Metrics of PCA and of the best linear-Gaussian model, under the names of the model's own."""
    found = {name: values[f"pca_{name}"] for name in ("mse", "psnr", "ssim") if f"pca_{name}" in values}
    if "linear_cost" in values:
        found["cost"] = values["linear_cost"]
        if "floor" in values:
            found["excess"] = values["linear_cost"] - values["floor"]
        if "bits_per_dim" in values and "cost" in values:
            more = values["linear_cost"] - values["cost"]
            found["bits_per_dim"] = values["bits_per_dim"] + more / (pixels * math.log(2))
    return found


def _cell(metric: Metric, values: Mapping[str, float]) -> str:
    return metric.text(values[metric.name]) if metric.name in values else ""
