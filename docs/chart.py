"""The README's chart of speed, and the tables of benchmarks.md, from what `make bench` measured:

python -m bench --rounds 3 --json docs/benchmarks.json
python docs/chart.py    # writes docs/speed.svg, prints the tables, a processor after another
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
BAR, TITLE = 0.23, 0.5  # inches high

Row = dict[str, Any]


def colour(entrant: str) -> str:
    """The colour of an entrant's bars."""
    return OTHERS if "vaepipe" not in entrant else ROUNDED if "bf16" in entrant else OURS


def draw(figures: dict[str, Any], path: Path) -> None:
    """A row of panels for a processor's setting, a panel a batch size, a bar an entrant.

    On white, which reads on a dark page too.
    """
    races = [
        (processor, setting, [row for row in table["rows"] if row["setting"] == setting])
        for processor, table in figures.items()
        for setting in dict.fromkeys(row["setting"] for row in table["rows"])
    ]
    batches = sorted({row["batch_size"] for *_, rows in races for row in rows})
    heights = [TITLE + BAR * len({row["entrant"] for row in rows}) for *_, rows in races]
    # Text as outlines, and nothing that changes from one drawing to the next.
    style = {"svg.hashsalt": "speed", "font.size": 9, "text.color": INK, "axes.labelcolor": INK}
    with pyplot.rc_context(style):
        figure, panels = pyplot.subplots(
            len(races),
            len(batches),
            figsize=(8, sum(heights) + 0.4),
            sharey="row",
            squeeze=False,
            height_ratios=heights,
            layout="constrained",
        )
        for (processor, setting, rows), beside in zip(races, panels, strict=True):
            for panel, batch in zip(beside, batches, strict=True):
                bars(panel, rows, batch)
                panel.set_xlim(0, 1.5 * max(row["images_per_second"] for row in rows))
                where = f"{processor}, {setting}\n" if batch == batches[0] else ""
                title = f"{where}batches of {batch:,}"
                panel.set_title(title, loc="left", fontsize=9, fontweight="bold", color=INK)
        figure.supxlabel("channel-images a second, and times the textbook loop", fontsize=9)
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, facecolor="white", dpi=150, metadata=metadata)
        pyplot.close(figure)


def bars(panel: Any, rows: list[Row], batch: int) -> None:
    """One panel. Entrants are in the order of the smallest batches, which all panels of a row share."""
    first = min(row["batch_size"] for row in rows)
    names = [
        row["entrant"]
        for row in sorted(rows, key=lambda row: row["images_per_second"])
        if row["batch_size"] == first
    ]
    speeds = [speed(rows, name, batch) for name in names]
    textbook = speed(rows, "textbook", batch)
    drawn = panel.barh(names, speeds, height=0.7, color=[colour(name) for name in names])
    panel.bar_label(drawn, [f"{s / 1000:.1f} k, {s / textbook:.2f} x" for s in speeds], padding=4, color=INK)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0, colors=INK)
    panel.set_xticks([])


def speed(rows: list[Row], entrant: str, batch: int) -> float:
    """Channel-images a second of one entrant at one batch size. rows: of one setting."""
    [found] = [
        row["images_per_second"] for row in rows if (row["entrant"], row["batch_size"]) == (entrant, batch)
    ]
    return found


def tables(table: dict[str, Any]) -> list[list[str]]:
    """The lines of a processor's tables in benchmarks.md: of trainings, and of the pipeline's costs."""
    rounds = f"; medians of {table['rounds']} rounds" if table["rows"] else ""
    trainings = [
        f"**{table['machine']}{rounds}**",
        "",
        "| setting | entrant | way | batch | images | channel-images/s | vaepipe, times as fast "
        "| cost, nats | compiling, s | peak MiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in table["rows"]:
        rows = [other for other in table["rows"] if other["setting"] == row["setting"]]
        batch, own = row["batch_size"], row["images_per_second"]
        cost = "" if row["cost"] is None else f"{row['cost']:.2f}"
        mebibytes = "" if row["memory"] is None else f"{row['memory'] / MEBIBYTE:,.0f}"
        trainings.append(
            f"| {row['setting']} | {row['entrant']} | {row['way']} | {batch:,} | {row['images']:,} "
            f"| {own:,.0f} | {speed(rows, 'vaepipe', batch) / own:.2f} | {cost} "
            f"| {format(row['start'], '.1f') if row['start'] else ''} | {mebibytes} |"
        )
    costs = ["| | seconds | peak MiB |", "|---|---|---|"]
    for cost in table.get("costs", ()):
        costs.append(f"| {cost['name']} | {cost['seconds']:.1f} | {cost['memory'] / MEBIBYTE:,.0f} |")
    return [trainings, costs] if table.get("costs") else [trainings]


def main(path: Path) -> None:
    """Draw the chart, and print the tables."""
    figures = json.loads(FIGURES.read_text())
    draw(figures, path)
    for table in figures.values():
        for lines in tables(table):
            print("\n".join(lines), end="\n\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "speed.svg")
