"""The plot of a search: what each trial cost, and the best so far. Equal input, equal bytes."""

import io
from collections.abc import Sequence
from typing import Any, cast

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.report import figures
from pipeline.search.journal import SearchTrial

COLOR = figures.WHOLE_COLOR


def plot(tried: Sequence[SearchTrial], split: str) -> bytes:
    """An SVG: the last cost of each trial in the order of their starts, and the best so far."""
    with mpl.rc_context(cast(Any, figures.STYLE)):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        axis = figure.subplots()
        # Of one that diverged the last cost may be anything.
        costs = {
            place: trial.costs[trial.epochs][split]
            for place, trial in enumerate(tried, 1)
            if trial.state in ("finished", "stopped")
        }
        for state, color, filled in (("finished", COLOR, True), ("stopped", figures.GREY, False)):
            places = [place for place in costs if tried[place - 1].state == state]
            axis.plot(
                places,
                [costs[place] for place in places],
                "o",
                color=color,
                markerfacecolor=color if filled else "none",
                label="finished" if filled else "stopped early",
            )
        done = [place for place in costs if tried[place - 1].state == "finished"]
        best = np.minimum.accumulate([costs[place] for place in done])
        axis.step(
            [*done, len(tried)],
            [*best, best[-1]],
            where="post",
            color=COLOR,
            linewidth=1,
            label="best so far",
        )
        # What was stopped early may be far above: the axis is for those that matter.
        axis.set_ylim(top=np.quantile(list(costs.values()), 0.85) + 0.1 * np.ptp(list(costs.values())))
        axis.set_xlim(0.4, len(tried) + 0.6)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel("trial")
        axis.set_ylabel(f"{split} cost, nats")
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.legend(frameon=False, fontsize=8)
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    return svg.getvalue()
