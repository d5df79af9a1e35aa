"""The table of measures: a row for each model, and below it what a linear method does."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Measure:
    """A column of the table."""

    name: str  # in metrics/test.json
    title: str
    unit: str
    form: str  # of its numbers
    meaning: str


MEASURES = (
    Measure(
        "cost", "cost", "nats/image", ",.1f", "reconstruction + KL: the negative ELBO at one sample of z"
    ),
    Measure(
        "reconstruction",
        "reconstruction",
        "nats/image",
        ",.1f",
        f"what the pixels cost once z is known: {MINUS}log p(x|z), summed over them",
    ),
    Measure(
        "kl", "KL", "nats/image", ".2f", "what z costs: KL(q(z|x) ‖ N(0, I)), summed over the latent units"
    ),
    Measure("floor", "floor", "nats/image", ",.1f", "entropy of the pixels: the least cost of any model"),
    Measure("excess", "excess", "nats/image", ",.1f", "cost less floor: what a model could still gain"),
    Measure(
        "bits_per_dim",
        "bits/dim",
        "of 8",
        ".3f",
        "the cost in bits, for each pixel of each channel; a byte that is not compressed costs 8",
    ),
    Measure(
        "iw_cost",
        "IW cost",
        "nats/image",
        ",.1f",
        "minus the importance-weighted bound with 512 samples of z, on 1,000 of the test images",
    ),
    Measure(
        "iw_gain",
        "IW gain",
        "nats/image",
        ".2f",
        "cost less IW cost on those 1,000 images: at least so much of the cost is the bound's looseness",
    ),
    Measure(
        "active_units",
        "active",
        "units",
        ".0f",
        "latent units whose posterior mean has a variance above 0.01",
    ),
    Measure("mse", "MSE", "in [0, 1]", ".4f", "mean squared error a pixel, of the posterior mean's picture"),
    Measure("psnr", "PSNR", "dB", ".2f", "peak signal-to-noise ratio, averaged over images"),
    Measure("ssim", "SSIM", "at most 1", ".3f", "structural similarity, averaged over images"),
    Measure("parameters", "parameters", "count", ",.0f", "numbers that were fitted"),
)


@dataclass(frozen=True)
class TableRow:
    """A line of the table."""

    name: str  # component, or of a linear method what it is
    linear: bool  # a line for comparison
    cells: list[str]  # one a column, as they are shown; "" where nothing is known


@dataclass(frozen=True)
class Table:
    columns: list[Measure]
    rows: list[TableRow]


def table(metrics: Mapping[str, Mapping[str, float]], latent: int, pixels: Mapping[str, int]) -> Table:
    """All that is known of each component. latent: K of a model; pixels: numbers in an image of each."""
    rows: list[tuple[str, bool, Mapping[str, float]]] = []
    for name, values in metrics.items():
        rows.append((name, False, values))
        if beside := linear(values, pixels[name]):
            rows.append((f"PCA, k={latent}", True, beside))
    columns = [m for m in MEASURES if any(m.name in values for _, _, values in rows)]
    return Table(columns, [TableRow(n, beside, [_cell(m, v) for m in columns]) for n, beside, v in rows])


def linear(values: Mapping[str, float], pixels: int) -> dict[str, float]:
    """What is known of PCA and of the best linear-Gaussian model, under the names of the model's measures."""
    found = {name: values[f"pca_{name}"] for name in ("mse", "psnr", "ssim") if f"pca_{name}" in values}
    if "linear_cost" in values:
        found["cost"] = values["linear_cost"]
        if "floor" in values:
            found["excess"] = values["linear_cost"] - values["floor"]
        if "bits_per_dim" in values and "cost" in values:
            more = values["linear_cost"] - values["cost"]
            found["bits_per_dim"] = values["bits_per_dim"] + more / (pixels * math.log(2))
    return found


def number(value: float, form: str) -> str:
    """With a minus sign, not a hyphen."""
    return format(value, form).replace("-", MINUS)


def _cell(measure: Measure, values: Mapping[str, float]) -> str:
    return number(values[measure.name], measure.form) if measure.name in values else ""
