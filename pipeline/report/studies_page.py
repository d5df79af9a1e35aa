"""studies/index.html: every study and search that has run, from what they left in their folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.common import files, paths
from pipeline.common.errors import PipelineError
from pipeline.evaluation.registry import METRICS
from pipeline.report.templates import render

NAME = "index.html"
SUMMARY = "summary.json"

# Columns of a study's table that are no metrics: title and meaning.
OTHERS = {
    "validation": ("cost, validation", "nats an image, channels together, on the images by which was chosen"),
    "paper_cost": (
        "paper's cost",
        "what the paper printed, on SVHN's whole training set: nats an image of a channel",
    ),
    "channel_cost_train": (
        "channel's cost, train",
        "nats an image of a channel, mean of the channels: what the paper printed, training images",
    ),
    "channel_cost": ("channel's cost, test", "nats an image of a channel, mean of the channels, test images"),
    "against": ("against the defaults", "whether a seed of the defaults might have given this"),
}
# All of them, in their order; those that no setting has are left out.
COLUMNS = (
    "validation", "paper_cost", "channel_cost_train", "channel_cost",
    "excess", "bits_per_dim", "kl", "mse", "psnr", "ssim", "active_units", "against",
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """One study on the page."""

    name: str
    summary: dict[str, Any]
    columns: list[tuple[str, str]]  # title and meaning
    rows: list[tuple[str, list[str]]]
    pictures: list[str]  # files, by their paths from the page


def write(order: Sequence[str]) -> None:
    """Write the page anew; names that are not in `order` come last.

    Raises:
        PipelineError: a summary cannot be read, or the page not be written.
    """
    page = render("studies.html", sections=[_section(folder) for folder in _folders(order)])
    files.write_text(paths.STUDIES / NAME, page)


def _folders(order: Sequence[str]) -> list[Path]:
    ranks = {name: rank for rank, name in enumerate(order)}
    folders = [folder for folder in files.entries(paths.STUDIES) if (folder / SUMMARY).exists()]
    return sorted(folders, key=lambda folder: (ranks.get(folder.name, len(ranks)), folder.name))


def _section(folder: Path) -> Section:
    try:
        summary = files.parse_json((folder / SUMMARY).read_bytes())
        settings: dict[str, dict[str, Any]] = summary["settings"]
        names = [name for name in COLUMNS if any(name in values for values in settings.values())]
        rows = [
            (label, [_cell(name, values.get(name)) for name in names]) for label, values in settings.items()
        ]
    except OSError as error:
        raise files.unreadable(folder / SUMMARY, error) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PipelineError(
            f"{folder / SUMMARY}: damaged; delete it, and run `vaepipe study {folder.name}` to make it again"
        ) from None
    return Section(
        folder.name,
        summary,
        [_heading(name) for name in names],
        rows,
        [f"{folder.name}/{name}" for name in ("plot.svg", "pictures.png") if (folder / name).exists()],
    )


def _heading(name: str) -> tuple[str, str]:
    """Title and meaning of a column."""
    if name in OTHERS:
        return OTHERS[name]
    metric = METRICS[name]
    return metric.title, f"{metric.meaning}; {metric.unit}" if metric.unit else metric.meaning


def _cell(name: str, value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return METRICS[name].compared(value) if name in METRICS else f"{value:.2f}"
