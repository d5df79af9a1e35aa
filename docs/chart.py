"""The README's chart of speed, and the tables of benchmarks.md, from what `make bench` measured:

python -m bench --rounds 3 --json docs/benchmarks.json
python docs/chart.py    # writes docs/speed.svg, prints the tables
"""

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

DOCS = Path(__file__).parent
FIGURES = DOCS / "benchmarks.json"
MEBIBYTE = 2**20
INK, OTHERS, OURS, ROUNDED = "#24292f", "#b4bbc3", "#1f6feb", "#85b7f5"


def colour(entrant: str) -> str:
    """The colour of an entrant's bars."""
    return OTHERS if "vaepipe" not in entrant else ROUNDED if "bf16" in entrant else OURS


def draw(figures: dict[str, Any], path: Path) -> None:
    """One bar an entrant, one panel a batch size; on white, which reads on a dark page too."""
    rows = figures["rows"]
    batches = sorted({row["batch_size"] for row in rows})
    # Text as outlines, and nothing that changes from one drawing to the next.
    style = {"svg.hashsalt": "speed", "font.size": 9, "text.color": INK, "axes.labelcolor": INK}
    with pyplot.rc_context(style):
        figure, panels = pyplot.subplots(
            1, len(batches), figsize=(8, 2.2), sharex=True, sharey=True, layout="constrained"
        )
        for panel, batch in zip(panels, batches, strict=True):
            bars = sorted(
                (row for row in rows if row["batch_size"] == batch), key=lambda r: r["images_per_second"]
            )
            textbook = speed(rows, "textbook", batch)
            names = [row["entrant"] for row in bars]
            speeds = [row["images_per_second"] for row in bars]
            drawn = panel.barh(names, speeds, height=0.7, color=[colour(name) for name in names])
            panel.bar_label(
                drawn, [f"{s / 1000:.1f} k, {s / textbook:.2f} x" for s in speeds], padding=4, color=INK
            )
            panel.set_title(f"batches of {batch:,}", loc="left", fontsize=9, fontweight="bold", color=INK)
            panel.spines[:].set_visible(False)
            panel.tick_params(length=0, colors=INK)
            panel.set_xticks([])
        panels[0].set_xlim(0, 1.45 * max(row["images_per_second"] for row in rows))
        figure.supxlabel("channel-images a second, and times the textbook loop", fontsize=9)
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, facecolor="white", dpi=150, metadata=metadata)
        pyplot.close(figure)


def speed(rows: list[dict[str, Any]], entrant: str, batch: int) -> float:
    """Channel-images a second of one entrant at one batch size."""
    [found] = [
        row["images_per_second"] for row in rows if (row["entrant"], row["batch_size"]) == (entrant, batch)
    ]
    return found


def tables(figures: dict[str, Any]) -> list[str]:
    """The lines of the two tables of benchmarks.md."""
    rows = figures["rows"]
    lines = [
        "| | batch | channel-images/s | x textbook | x pythae | peak MiB |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        own, batch = row["images_per_second"], row["batch_size"]
        ratios = [own / speed(rows, other, batch) for other in ("textbook", "pythae 0.1.2")]
        lines.append(
            f"| {row['entrant']} | {batch:,} | {own:,.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} "
            f"| {row['memory'] / MEBIBYTE:,.0f} |"
        )
    lines += ["", "| | seconds | peak MiB |", "|---|---|---|"]
    for cost in figures["costs"]:
        lines.append(f"| {cost['name']} | {cost['seconds']:.1f} | {cost['memory'] / MEBIBYTE:,.0f} |")
    return lines


def main(path: Path) -> None:
    """Draw the chart, and print the tables."""
    figures = json.loads(FIGURES.read_text())
    draw(figures, path)
    print("\n".join(tables(figures)))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "speed.svg")
